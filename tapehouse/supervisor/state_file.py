"""What a running exchange says of itself in its data folder: who runs it, and every process of it.

`run/lock` is held, by flock, as long as the supervisor lives: the kernel lets go of it however that ends.
`run/exchange.json` holds the rest; it is replaced whole, so a reader never sees half of it.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from tapehouse.errors import OperatorError

LOCK: Final = "lock"
STATE: Final = "exchange.json"

Phase = Literal["starting", "running", "stopping"]


class ProcessState(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    service: str
    instance: int
    state: str
    pid: int | None
    created_at: float | None
    started_at: float | None
    restarts: int
    last_ending: str | None
    health_port: int | None
    log_file: Path


class ExchangeState(BaseModel):
    model_config = ConfigDict(frozen=True)

    pid: int
    phase: Phase
    started_at: float
    processes: tuple[ProcessState, ...] = ()
    environment: Mapping[str, str] = {}
    """The `TAPEHOUSE_*` variables by which the other commands find this exchange."""


def write(run: Path, state: ExchangeState) -> None:
    path = run / STATE
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(state.model_dump_json(indent=1))
    fresh.replace(path)


def read(run: Path) -> ExchangeState | None:
    """What the last supervisor wrote, running or not."""
    try:
        return ExchangeState.model_validate_json((run / STATE).read_text())
    except (FileNotFoundError, ValidationError):
        return None


def running(run: Path) -> ExchangeState | None:
    """The state of the exchange that runs on this folder now; None when none does."""
    try:
        with (run / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read(run)
    except FileNotFoundError:
        return None
    return None


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the folder. Raises OperatorError naming who holds it already."""
    with (run / LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperatorError(_held(run)) from None
        yield


def _held(run: Path) -> str:
    state = read(run)
    who = "" if state is None else f" (process {state.pid}, {state.phase})"
    return (
        f"an exchange already runs on {run.parent}{who}.\n"
        "`tapehouse status` shows it, `tapehouse down` stops it; --data DIR starts another."
    )


def end_leftovers(state: ExchangeState, patience_s: float) -> list[str]:
    """Wait for the processes of a supervisor that was killed, then kill them; return their names.

    The kernel has told them to end already; a server may still be writing its last pages.
    """
    left = [entry for entry in state.processes if _alive(entry)]
    if not _await_end(left, patience_s):
        for entry in filter(_alive, left):
            with suppress(psutil.NoSuchProcess):
                psutil.Process(entry.pid).kill()
        _await_end(left, patience_s=5.0)
    return sorted(entry.name for entry in left)


def _await_end(entries: list[ProcessState], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while any(_alive(entry) for entry in entries):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _alive(entry: ProcessState) -> bool:
    """Whether that very process runs: pids are used again, and a zombie holds nothing any more."""
    if entry.pid is None or entry.created_at is None:
        return False
    try:
        process = psutil.Process(entry.pid)
        same = abs(process.create_time() - entry.created_at) < 0.1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
