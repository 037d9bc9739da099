"""One supervised process: started, watched, started again when it ends unasked, stopped when told."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import psutil

from tapehouse.supervisor import backoff, log_file
from tapehouse.supervisor.program import Program, launch_async

READY_POLL_S = 0.05
LAST_LINES = 15


class State(StrEnum):
    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"
    """Crashed, and waiting to be started again."""


@dataclass(frozen=True, slots=True)
class Crash:
    """What is said of a process that ended without being told to."""

    name: str
    ending: str
    """`exit code 1`, `killed by SIGKILL`."""
    restart_in_s: float
    last_lines: tuple[str, ...]


class SupervisedProcess:
    """Keeps one program running from `start` to `stop`. Every change of state is told to `changed`."""

    def __init__(
        self,
        program: Program,
        *,
        crashed: Callable[[Crash], None],
        changed: Callable[[SupervisedProcess], None],
    ) -> None:
        self.program = program
        self.state = State.STOPPED
        self.pid: int | None = None
        self.created_at: float | None = None
        """The kernel's start time of the process: with the pid it names the process for good."""
        self.started_at: float | None = None
        self.restarts = 0
        self.last_ending: str | None = None
        self.ready = asyncio.Event()
        self.crashes = 0
        """In a row; a long healthy run ends the row."""
        self._crashed = crashed
        self._changed = changed
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_running(), name=self.program.name)

    async def stop(self, most_s: float) -> None:
        """Ask it to end, insist after its time-out or `most_s`, and return when it is gone."""
        self._stopping.set()
        self._woken.set()
        if self._task is None:
            return
        if self._process is not None and self._process.returncode is None:
            self._signal(self.program.stop_signal)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(most_s, self.program.stop_timeout_s)):
                await asyncio.shield(self._task)
        self.kill()
        await self._task

    def wake(self) -> None:
        """Start it now, if it waits to be started again: what it may have missed has come back."""
        self._woken.set()

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._signal(signal.SIGKILL)

    async def _keep_running(self) -> None:
        while not self._stopping.is_set():
            ending, ran_s, was_ready, log_start = await self._run_once()
            if self._stopping.is_set():
                break
            self.crashes = backoff.crashes_in_row(self.crashes, ran_s, was_ready=was_ready)
            delay_s = backoff.delay_s(self.crashes)
            self.last_ending = ending
            self._set(State.WAITING)
            lines = log_file.tail(self.program.log_file, LAST_LINES, since=log_start)
            self._crashed(Crash(self.program.name, ending, delay_s, tuple(lines)))
            if delay_s:
                await self._pause(delay_s)
            self.restarts += 1
        self._set(State.STOPPED)

    async def _pause(self, delay_s: float) -> None:
        self._woken.clear()
        if self._stopping.is_set():
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), delay_s)

    async def _run_once(self) -> tuple[str, float, bool, int]:
        log_start = log_file.size(self.program.log_file)
        started = time.monotonic()
        try:
            self._process = process = await launch_async(self.program)
        except OSError as error:
            return f"cannot be started: {error}", 0.0, False, log_start
        if self._stopping.is_set():  # told to stop while it was being started
            self._signal(self.program.stop_signal)
        self.pid, self.started_at = process.pid, time.time()
        with suppress(psutil.NoSuchProcess):
            self.created_at = psutil.Process(process.pid).create_time()
        self._set(State.STARTING)
        watch = asyncio.create_task(self._watch_readiness())
        code = await process.wait()
        watch.cancel()
        was_ready = self.ready.is_set()
        self.ready.clear()
        self.pid = self.created_at = self.started_at = None
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what it may have started itself
        return describe_ending(code), time.monotonic() - started, was_ready, log_start

    async def _watch_readiness(self) -> None:
        while not await asyncio.to_thread(self.program.ready):  # noqa: ASYNC110 - no event crosses to us
            await asyncio.sleep(READY_POLL_S)
        self.ready.set()
        self._set(State.READY)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _set(self, state: State) -> None:
        self.state = state
        self._changed(self)


def describe_ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
