"""An operator's shell, and a data folder of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tapehouse.errors import FAILED
from tapehouse.supervisor import state_file
from tapehouse.supervisor.program import bound


@dataclass(frozen=True)
class Machine:
    data: Path
    environment: Mapping[str, str]

    def __call__(self, *words: str, answer: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            bound([sys.executable, "-m", "tapehouse", *words]),
            env={**self.environment, **variables},
            input=answer,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def state(self) -> state_file.ExchangeState | None:
        return state_file.running(self.data / "run")

    def pids(self) -> dict[str, int]:
        state = self.state()
        return {} if state is None else {p.name: p.pid for p in state.processes if p.pid is not None}

    def left(self) -> list[str]:
        """Return the command lines that name the data folder."""
        found = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
        return [line for line in map(" ".join, found) if str(self.data) in line]


def said_plainly(done: subprocess.CompletedProcess[str]) -> str:
    """Return the sentence of a command that failed as it should: one, exit code 1, no traceback."""
    assert done.returncode == FAILED, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("tapehouse: ")]
    return line


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
