"""Which tests are in the verdict of `make test`: all but those marked `long` and those in quarantine.

A quarantined test is out of the verdict, never out of sight: its count is printed, with what is said of it.
A run that leaves a process behind fails, whatever its tests say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

_ON_SERVICES = tuple(Path(__file__).parent / folder for folder in ("integration", "e2e"))
_QUARANTINED = pytest.StashKey[Counter[str]]()
_LEFT = pytest.StashKey[list[str]]()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in _ON_SERVICES):
            item.add_marker("services")
    config.stash[_QUARANTINED] = Counter(reason for item in items for reason in _reasons(item))
    yield  # only now are tests deselected by their markers
    items.sort(key=lambda item: item.path.parent)  # what a folder's tests share is started once


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Every server and service was stopped by who started it."""
    if session.config.getoption("numprocesses", None):
        return  # xdist's own workers are still there
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                session.config.stash.setdefault(_LEFT, []).append(" ".join(process.cmdline()))
    if _LEFT in session.config.stash:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left := config.stash.get(_LEFT, []):
        terminalreporter.section("left running", red=True)
        for line in left:
            terminalreporter.write_line(line)
    found = config.stash.get(_QUARANTINED, Counter())
    if not found:
        return
    terminalreporter.section(f"in quarantine: {found.total()} tests (docs/testing.md)")
    for reason, count in sorted(found.items()):
        terminalreporter.write_line(f"{count} x {reason}")


def _reasons(item: pytest.Item) -> Sequence[str]:
    return [str((*marker.args, "no reason is given")[0]) for marker in item.iter_markers("quarantine")]
