"""A flame graph of each Python process under load: py-spy looks at it from outside, 100 times a second."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tapehouse.errors import OperatorError

RATE_HZ = 100
END_WAIT_S = 60.0
SPARE_S = 120
"""Longer than asked for: a profiler whose benchmark died ends by itself after this."""


@dataclass(frozen=True)
class _Watching:
    name: str
    graph: Path
    said: Path
    profiler: subprocess.Popen[bytes]


class FlameGraphs:
    """Watches from when it is made until `finish`.

    The profilers are children of this process, so its own processor time includes theirs. Raises
    OperatorError when py-spy is not there.
    """

    def __init__(self, folder: Path, processes: Mapping[str, int], seconds: float) -> None:
        py_spy = _py_spy()
        folder.mkdir(parents=True, exist_ok=True)
        self._watching = []
        for name, pid in processes.items():
            if not is_python(pid):
                continue
            graph, said = folder / f"{name}.svg", folder / f"{name}.log"
            argv = [py_spy, "record", "--pid", str(pid), "--output", str(graph), "--rate", str(RATE_HZ)]
            more = ["--duration", str(int(seconds) + SPARE_S), "--nonblocking", "--threads"]
            with said.open("wb") as out:
                profiler = subprocess.Popen(
                    [*argv, *more], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
                )
            self._watching.append(_Watching(name, graph, said, profiler))

    def finish(self) -> list[str]:
        """Stop watching; return a line for each process: where its flame graph is, or why there is none."""
        for one in self._watching:
            if one.profiler.poll() is None:
                one.profiler.send_signal(signal.SIGINT)  # it writes what it has, and ends
        return [_ended(one) for one in self._watching]


def is_python(pid: int) -> bool:
    try:
        return Path(psutil.Process(pid).exe()).name.startswith("python")
    except psutil.Error:
        return False


def _ended(one: _Watching) -> str:
    try:
        one.profiler.wait(END_WAIT_S)
    except subprocess.TimeoutExpired:
        one.profiler.kill()
        one.profiler.wait()
    said = one.said.read_text(errors="replace")
    one.said.unlink()
    if one.graph.exists() and one.graph.stat().st_size:
        return f"{one.name}: {one.graph}"
    return f"{one.name}: no flame graph, {_reason(said)}"


def _reason(said: str) -> str:
    if "permission denied" in said.lower() or "operation not permitted" in said.lower():
        return (
            "the system does not let one process look into another (ptrace): run the benchmark as root, "
            "set kernel.yama.ptrace_scope to 0, or give the container CAP_SYS_PTRACE"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "py-spy said nothing"


def _py_spy() -> str:
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise OperatorError("--profile needs py-spy: pip install py-spy")
    return found
