"""Flame graphs of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tapehouse.bench import flame_graphs
from tapehouse.bench.flame_graphs import FlameGraphs, is_python
from tapehouse.errors import OperatorError

BUSY = """
import sys
def a_name_to_be_found():
    while True:
        sum(range(1000))
print("busy", flush=True)
a_name_to_be_found()
"""


def test_graph_names_what_the_process_does_and_servers_have_none(tmp_path: Path) -> None:
    busy = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
    server = subprocess.Popen(["sleep", "60"])
    assert busy.stdout is not None
    try:
        assert busy.stdout.readline() == b"busy\n"
        graphs = FlameGraphs(tmp_path / "graphs", {"matcher-0": busy.pid, "kafka": server.pid}, 1.0)
        [profiler] = [one.profiler for one in graphs._watching]
        said = tmp_path / "graphs" / "matcher-0.log"
        while b"Sampling process" not in said.read_bytes() and profiler.poll() is None:
            time.sleep(0.01)
        looked_at, used = psutil.Process(busy.pid), psutil.Process(busy.pid).cpu_times().user
        while looked_at.cpu_times().user < used + 0.5:  # some samples' time
            time.sleep(0.05)
        [line] = graphs.finish()
    finally:
        for process in (busy, server):
            process.kill()
            process.wait()
        busy.stdout.close()
    allowed = "ptrace" not in line
    assert line.startswith(
        f"matcher-0: {tmp_path / 'graphs' / 'matcher-0.svg'}" if allowed else "matcher-0: no"
    )
    if allowed:
        assert "a_name_to_be_found" in (tmp_path / "graphs" / "matcher-0.svg").read_text()
        assert [path.name for path in (tmp_path / "graphs").iterdir()] == ["matcher-0.svg"]


def test_process_that_is_gone_is_said_so(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    graphs = FlameGraphs(tmp_path, {"ingest-0": gone.pid}, 1.0)
    gone.communicate(b"\n")
    [line] = graphs.finish()
    assert line.startswith("ingest-0: ")


def test_refusal_of_the_system_is_explained() -> None:
    said = flame_graphs._reason("Error: Permission Denied: Try running again with elevated permissions")
    assert "CAP_SYS_PTRACE" in said
    assert flame_graphs._reason("\nError: Failed to get process\n") == "Error: Failed to get process"


def test_missing_profiler_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError, match="pip install py-spy"):
        FlameGraphs(tmp_path, {}, 1.0)
    assert not is_python(2**22 + 1)
    assert is_python(os.getpid())
