"""Processes that tests start: bound to the life of the run, their output in a file that a failure shows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tapehouse.supervisor.program import bound
from tests import service_logs

REPOSITORY = Path(__file__).resolve().parents[1]


def start(
    module: str, *arguments: str, environment: Mapping[str, str], log_file: Path
) -> subprocess.Popen[bytes]:
    """Run `python -m MODULE` with this environment; it is killed when this run ends, however that happens."""
    service_logs.watch(log_file)
    with log_file.open("ab") as output:
        return subprocess.Popen(
            bound([sys.executable, "-m", module, *arguments]),
            cwd=REPOSITORY,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
