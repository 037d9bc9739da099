"""Program: everything needed to start, watch and stop one process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tapehouse.supervisor.identity import RunAs

_LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """One process of the exchange. Its output goes to a file: an inherited pipe can fill and hang it."""

    name: str
    """Unique among the processes of an exchange: `kafka`, `matcher-0`."""
    service: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """The whole environment of the process; nothing is inherited beside it."""
    cwd: Path
    log_file: Path
    ready: Callable[[], bool]
    """Whether it serves. Called often from a thread; must answer within a second and not raise."""
    start_timeout_s: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 3.0
    orphan_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends it when the supervisor dies."""
    run_as: RunAs | None = None
    """For servers that refuse root."""
    instance: int = 0
    health_port: int | None = None
    stage: int = 1
    """Stages stop in falling order: the edge, then what works behind it, then the servers."""


def launch(program: Program) -> subprocess.Popen[bytes]:
    """Start it in a session of its own, bound to the life of this process.

    Call from the main thread: Linux sends the orphan signal when the *thread* that forked ends.
    """
    with open_log(program) as log:
        return subprocess.Popen(
            launch_argv(program),
            env=dict(program.env),
            cwd=program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


async def launch_async(program: Program) -> asyncio.subprocess.Process:
    """The same for an event loop, which must run in the main thread."""
    with open_log(program) as log:
        return await asyncio.create_subprocess_exec(
            *launch_argv(program),
            env=dict(program.env),
            cwd=program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def open_log(program: Program) -> BinaryIO:
    program.log_file.parent.mkdir(parents=True, exist_ok=True)
    return program.log_file.open("ab")


def launch_argv(program: Program) -> list[str]:
    return bound(program.argv, program.orphan_signal, program.run_as)


def bound(
    argv: Sequence[str], orphan_signal: signal.Signals = signal.SIGKILL, run_as: RunAs | None = None
) -> list[str]:
    """The command that runs `argv` as another user, if named, and bound to the life of this process."""
    user = "-"
    if run_as is not None:
        user = f"{'namespace' if run_as.in_namespace else 'user'}:{run_as.uid_gid}"
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(int(orphan_signal)), user]
    return [*launcher, *argv]
