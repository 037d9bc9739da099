"""The supervisor of an exchange: all its processes, and the file that tells about them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from tapehouse.errors import OperatorError
from tapehouse.supervisor import log_file, state_file
from tapehouse.supervisor.process import Crash, State, SupervisedProcess
from tapehouse.supervisor.program import Program
from tapehouse.supervisor.state_file import ExchangeState, Phase, ProcessState

ROTATE_EVERY_S = 10.0
STOP_S = 4.5
_GUARD = Path(__file__).with_name("guard.py")


class Supervisor:
    """Use from one event loop in the main thread; see `program.launch`."""

    def __init__(self, run: Path, crashed: Callable[[Crash], None]) -> None:
        self._run = run
        self._crashed = crashed
        self._processes: list[SupervisedProcess] = []
        self._phase: Phase = "starting"
        self._started_at = time.time()
        self._environment: Mapping[str, str] = {}
        self._rotation: asyncio.Task[None] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def publish(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._write()

    def running(self) -> None:
        self._phase = "running"
        self._write()

    async def start(self, programs: Iterable[Program], *, tolerated_crashes: int) -> None:
        """Start them all at once and return when each is ready.

        Raises OperatorError, with what it printed last, for one that keeps crashing or never gets ready.
        What was started goes on running: call `stop`.
        """
        if self._rotation is None:
            self._rotation = asyncio.create_task(self._rotate())
            if sys.platform != "linux":
                self._guard = start_guard(self._run)
        fresh = [
            SupervisedProcess(program, crashed=self._crashed, changed=self._changed) for program in programs
        ]
        self._processes += fresh
        for process in fresh:
            process.start()
        await asyncio.gather(*(self._await_ready(process, tolerated_crashes) for process in fresh))

    async def _await_ready(self, process: SupervisedProcess, tolerated_crashes: int) -> None:
        program = process.program
        deadline = time.monotonic() + program.start_timeout_s
        while not process.ready.is_set():
            if process.crashes > tolerated_crashes:
                raise OperatorError(_failure(process, f"does not start: {process.last_ending}"))
            if time.monotonic() > deadline:
                raise OperatorError(_failure(process, f"is not ready after {program.start_timeout_s:.0f} s"))
            with suppress(TimeoutError):
                await asyncio.wait_for(process.ready.wait(), 0.05)

    async def stop(self) -> None:
        """Stop everything, stage by stage, within STOP_S; what has not ended by then is killed."""
        self._phase = "stopping"
        self._write()
        deadline = time.monotonic() + STOP_S
        for stage in sorted({process.program.stage for process in self._processes}, reverse=True):
            most_s = max(0.0, deadline - time.monotonic())
            await asyncio.gather(*(p.stop(most_s) for p in self._processes if p.program.stage == stage))
        if self._rotation is not None:
            self._rotation.cancel()
        self._write()
        if self._guard is not None:
            self._guard.communicate()  # closes its pipe; it finds nothing to end

    def kill(self) -> None:
        for process in self._processes:
            process.kill()

    async def _rotate(self) -> None:
        while True:
            await asyncio.sleep(ROTATE_EVERY_S)
            for path in {process.program.log_file for process in self._processes}:
                await asyncio.to_thread(log_file.rotate, path)

    def _changed(self, process: SupervisedProcess) -> None:
        self._write()
        if process.state is State.READY and process.program.stage == 0:
            for other in self._processes:  # who crashed for want of this server need not wait any longer
                if other.state is State.WAITING and other is not process:
                    other.wake()

    def _write(self) -> None:
        state_file.write(
            self._run,
            ExchangeState(
                pid=os.getpid(),
                phase=self._phase,
                started_at=self._started_at,
                processes=tuple(_state(process) for process in self._processes),
                environment=self._environment,
            ),
        )


def start_guard(run: Path) -> subprocess.Popen[bytes]:
    """Start what ends our processes when we cannot; see `guard`."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_GUARD), str(run / state_file.STATE)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _state(process: SupervisedProcess) -> ProcessState:
    program = process.program
    return ProcessState(
        name=program.name,
        service=program.service,
        instance=program.instance,
        state=process.state,
        pid=process.pid,
        created_at=process.created_at,
        started_at=process.started_at,
        restarts=process.restarts,
        last_ending=process.last_ending,
        health_port=program.health_port,
        log_file=program.log_file,
    )


def _failure(process: SupervisedProcess, what: str) -> str:
    program = process.program
    lines = [f"  {line}" for line in log_file.tail(program.log_file, 15)]
    said = "It printed nothing." if not lines else "It printed last:\n" + "\n".join(lines)
    return f"{program.name} {what}. {said}\nAll of it is in {program.log_file}."
