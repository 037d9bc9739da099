"""What services and servers print while a test runs: shown when it fails, and looked through when it passes.

A test whose services log an error fails, unless it is marked `logs_errors("part of the line", ...)`: what a
test breaks on purpose is named in it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tapehouse.supervisor import log_file

LINES_SHOWN = 40
_watched: list[Path] = []
_ERROR = re.compile(r'"level": ?"(error|critical)"|Traceback \(most recent')


def watch(path: Path) -> None:
    """From now on take notice of this file, or of all `*.log` of this folder."""
    if path not in _watched:
        _watched.append(path)


def files() -> list[Path]:
    found = []
    for path in _watched:
        found += sorted(path.glob("*.log")) if path.is_dir() else [path]
    return [path for path in found if path.is_file()]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    report: pytest.TestReport = yield
    if report.failed:
        for path in files():
            if tail := log_file.tail(path, LINES_SHOWN):
                report.sections.append((f"last lines of {path.name}", "\n".join(tail)))
        load, free = os.getloadavg()[0], shutil.disk_usage(item.config.rootpath).free / 2**30
        again = f".venv/bin/pytest '{item.nodeid}'"
        report.sections.append(("the machine", f"load {load:.1f}, {free:.1f} GiB free; again: {again}"))
    return report


@pytest.fixture(autouse=True)
def no_error_in_the_logs(request: pytest.FixtureRequest) -> Iterator[None]:
    """Looks at what was added to the logs while the test ran."""
    if request.node.get_closest_marker("services") is None:
        yield
        return
    before = {path: log_file.size(path) for path in files()}
    yield
    expected = [str(text) for marker in request.node.iter_markers("logs_errors") for text in marker.args]
    found = [
        f"{path.name}: {line}"
        for path in files()
        for line in log_file.tail(path, 10_000, since=before.get(path, 0))
        if _ERROR.search(line) and not any(text in line for text in expected)
    ]
    assert not found, "errors in the services' logs:\n" + "\n".join(found[:20])
