"""The supervisor with real child processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tapehouse.errors import FAILED, OperatorError
from tapehouse.supervisor import backoff, state_file
from tapehouse.supervisor.process import Crash
from tapehouse.supervisor.program import Program
from tapehouse.supervisor.supervisor import Supervisor, start_guard

pytestmark = pytest.mark.long

WORKER = """
import pathlib, signal, sys, time
name, told = sys.argv[1], pathlib.Path("told")
def stop(*_):
    with told.open("a") as file:
        file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(name + ".ready").touch()
print(name, "works", flush=True)
while True:
    time.sleep(60)
"""
STUBBORN = "import signal, time, pathlib\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + (
    "pathlib.Path('stubborn.ready').touch()\nwhile True: time.sleep(60)\n"
)
BROKEN = "import sys\nprint('cannot go on: no such topic', flush=True)\nsys.exit(3)\n"


def program(folder: Path, name: str, code: str = WORKER, stage: int = 1) -> Program:
    return Program(
        name=name,
        service=name,
        argv=(sys.executable, "-c", code, name),
        env=dict(os.environ),
        cwd=folder,
        log_file=folder / f"{name}.log",
        ready=(folder / f"{name}.ready").exists,
        start_timeout_s=60,
        stop_timeout_s=0.3 if code is STUBBORN else 30,
        stage=stage,
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)


def pid_of(folder: Path, name: str) -> int:
    state = state_file.read(folder)
    assert state is not None
    pid = next(p.pid for p in state.processes if p.name == name)
    return pid if pid is not None else 0


async def test_start_waits_for_readiness_and_stop_goes_by_stage(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, crashed=_unexpected)
    edge, core = program(tmp_path, "edge", stage=2), program(tmp_path, "core", stage=1)
    await supervisor.start([core, edge], tolerated_crashes=0)
    assert core.ready()
    assert edge.ready()
    await supervisor.stop()
    assert (tmp_path / "told").read_text().split() == ["edge", "core"]
    state = state_file.read(tmp_path)
    assert state is not None
    assert {(p.name, p.state, p.pid) for p in state.processes} == {
        ("edge", "stopped", None),
        ("core", "stopped", None),
    }


async def test_killed_process_is_restarted_and_what_it_printed_is_shown(tmp_path: Path) -> None:
    crashes: list[Crash] = []
    supervisor = Supervisor(tmp_path, crashed=crashes.append)
    await supervisor.start([program(tmp_path, "core")], tolerated_crashes=0)
    first = pid_of(tmp_path, "core")
    await until(lambda: "works" in (tmp_path / "core.log").read_text())
    os.kill(first, signal.SIGKILL)
    await until(lambda: pid_of(tmp_path, "core") not in (0, first))
    await supervisor.stop()
    assert crashes == [Crash("core", "killed by SIGKILL", 0.0, ("core works",))]


async def test_process_that_keeps_crashing_at_start_is_an_error_with_its_words(tmp_path: Path) -> None:
    crashes: list[Crash] = []
    supervisor = Supervisor(tmp_path, crashed=crashes.append)
    with pytest.raises(OperatorError, match=r"(?s)core does not start: exit code 3.*no such topic"):
        await supervisor.start([program(tmp_path, "core", BROKEN)], tolerated_crashes=2)
    await supervisor.stop()
    assert [crash.restart_in_s for crash in crashes[:3]] == [0.0, 0.2, 0.4]


async def test_who_crashes_for_want_of_a_server_starts_when_that_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause would be ten minutes long; the server's return ends it."""
    monkeypatch.setattr(backoff, "FIRST_S", 600.0)
    monkeypatch.setattr(backoff, "CAP_S", 600.0)
    needs = "import pathlib, sys\nif pathlib.Path('gone').exists(): sys.exit(1)\n" + WORKER
    crashes: list[Crash] = []
    supervisor = Supervisor(tmp_path, crashed=crashes.append)
    programs = [program(tmp_path, "server", stage=0), program(tmp_path, "core", needs)]
    await supervisor.start(programs, tolerated_crashes=0)
    (tmp_path / "gone").touch()
    (tmp_path / "server.ready").unlink()
    os.kill(pid_of(tmp_path, "core"), signal.SIGKILL)
    await until(lambda: any(crash.restart_in_s == 600 for crash in crashes))
    (tmp_path / "gone").unlink()
    os.kill(pid_of(tmp_path, "server"), signal.SIGKILL)
    await until(lambda: pid_of(tmp_path, "core") != 0)
    await supervisor.stop()
    assert [crash.name for crash in crashes] == ["core", "core", "server"]


async def test_stubborn_process_is_killed_after_its_time_out(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, crashed=_unexpected)
    await supervisor.start([program(tmp_path, "stubborn", STUBBORN)], tolerated_crashes=0)
    pid = pid_of(tmp_path, "stubborn")
    await supervisor.stop()
    assert not psutil.pid_exists(pid)


async def test_child_of_a_crashed_process_does_not_outlive_it(tmp_path: Path) -> None:
    code = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path('child.pid').write_text(str(child.pid))\n"
        "pathlib.Path('parent.ready').touch()\n"
        "time.sleep(600)\n"
    )
    supervisor = Supervisor(tmp_path, crashed=lambda crash: None)
    await supervisor.start([program(tmp_path, "parent", code)], tolerated_crashes=0)
    child = int((tmp_path / "child.pid").read_text())
    os.kill(pid_of(tmp_path, "parent"), signal.SIGKILL)
    await until(lambda: not _alive(child))
    await supervisor.stop()


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from tests.integration.supervisor.test_supervisor import program
from tapehouse.supervisor import state_file
from tapehouse.supervisor.supervisor import Supervisor

async def main(folder):
    supervisor = Supervisor(folder, crashed=print)
    await supervisor.start([program(folder, "one"), program(folder, "two")], tolerated_crashes=0)
    supervisor.running()
    await asyncio.Event().wait()

folder = Path(sys.argv[1])
with state_file.locked(folder):
    asyncio.run(main(folder))
"""


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[bytes]:
    """A supervisor in another process, running two programs on `tmp_path`."""
    process = subprocess.Popen([sys.executable, "-c", SUPERVISOR, str(tmp_path)])
    deadline = time.monotonic() + 60
    while (state := state_file.read(tmp_path)) is None or state.phase != "running":
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    state = state_file.running(tmp_path)
    assert state is not None
    pids = [process.pid for process in state.processes if process.pid is not None]
    assert len(pids) == 2
    other.kill()
    other.wait()
    deadline = time.monotonic() + 60
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert state_file.running(tmp_path) is None
    assert state_file.end_leftovers(state, patience_s=1.0) == []


@pytest.mark.parametrize("code", [WORKER, STUBBORN])
def test_guard_ends_what_is_listed_when_its_pipe_closes(tmp_path: Path, code: str) -> None:
    """What macOS needs; here the supervisor's part is played by this test."""
    process = subprocess.Popen([sys.executable, "-c", code, "stubborn"], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "stubborn.ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    listed = [{"pid": process.pid}, {"pid": None}]
    (tmp_path / state_file.STATE).write_text(json.dumps({"processes": listed}))
    guard = start_guard(tmp_path)
    assert process.poll() is None
    guard.communicate(timeout=60)
    assert process.wait(60) == (0 if code is WORKER else -signal.SIGKILL)


def test_leftovers_are_ended_and_named_but_nobody_else_with_their_pid(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    entry = state_file.ProcessState(
        name="core",
        service="core",
        instance=0,
        state="ready",
        pid=process.pid,
        created_at=psutil.Process(process.pid).create_time(),
        started_at=None,
        restarts=0,
        last_ending=None,
        health_port=None,
        log_file=tmp_path / "core.log",
    )
    another = entry.model_copy(update={"created_at": 1.0})
    state = state_file.ExchangeState(pid=1, phase="running", started_at=0.0, processes=(another,))
    assert state_file.end_leftovers(state, patience_s=0.05) == []
    assert process.poll() is None
    state = state.model_copy(update={"processes": (entry,)})
    assert state_file.end_leftovers(state, patience_s=0.05) == ["core"]
    assert process.wait(60) == -signal.SIGKILL


def test_second_supervisor_is_told_who_runs(tmp_path: Path, other: subprocess.Popen[bytes]) -> None:
    told = pytest.raises(OperatorError, match=f"already runs .*process {other.pid}")
    with told as caught, state_file.locked(tmp_path):
        pass
    assert caught.value.exit_code == FAILED
    other.kill()
    other.wait()
    with state_file.locked(tmp_path):
        pass


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _unexpected(crash: Crash) -> None:
    raise AssertionError(crash)
