"""Work on a frozen copy of this process's memory, done by a forked child beside us."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

import structlog

_log = structlog.get_logger("forked")
_NICE = 10


class Child:
    """A child at work; what it writes goes to `out`, which both have open."""

    def __init__(self, pid: int, out: BinaryIO) -> None:
        self.out = out
        self.failed = False
        self._pid = pid

    def ended(self) -> bool:
        """Tell, without waiting, whether it has ended; `failed` is right from then on."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        self.failed = status != 0
        return pid != 0

    def kill(self) -> None:
        """End it and forget what it wrote."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self.out.close()


def fork(work: Callable[[BinaryIO], None]) -> Child | None:
    """Let a child do `work`, which must touch no client; None where a child cannot be had.

    Other threads (librdkafka's) do not exist in the child, and no destructor runs at its end.
    """
    if not hasattr(os, "fork"):
        return None
    out = _memory()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on: fork beside threads
            pid = os.fork()
    except OSError as error:
        _log.warning("no child for a snapshot", error=str(error))
        out.close()
        return None
    if pid:
        return Child(pid, out)
    status = 1
    try:
        gc.disable()
        with suppress(ValueError):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.nice(_NICE)
        work(out)
        out.flush()
        status = 0
    finally:
        os._exit(status)


def _memory() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("snapshot"), "w+b")
    return tempfile.TemporaryFile("w+b")
