"""The faults of RELIABILITY's matrix that a chaos run can inject: what each is called; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tapehouse.errors import USAGE, OperatorError


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    text: str


FAULTS: Final = (
    Fault("F1", "ingest SIGKILL"),
    Fault("F2", "processor SIGKILL, at failpoints"),
    Fault("F3", "matcher SIGKILL, at failpoints"),
    Fault("F4", "recorder SIGKILL, at failpoints"),
    Fault("F5", "market data SIGKILL"),
    Fault("F6", "matcher frozen, and back"),
    Fault("F7", "two matchers for every symbol"),
    Fault("F8", "Kafka SIGKILL"),
    Fault("F9", "Kafka frozen"),
    Fault("F13", "Postgres SIGKILL"),
    Fault("F14", "Postgres: sessions ended, locks"),
    Fault("F17", "Redis: kill, flush, full, stale"),
    Fault("F18", "Redis: tampered hot book"),
    Fault("F19", "poison on every topic"),
    Fault("F20", "records delivered twice"),
    Fault("F21", "records out of order"),
    Fault("F22", "slow reader, frozen recorder"),
    Fault("F25", "workers join and leave"),
    Fault("F27", "everything SIGKILL at once"),
    Fault("F28", "corrupt snapshots"),
    Fault("F31", "offsets of the groups lost"),
    Fault("F32", "log cut off"),
)
BY_NAME: Final = {fault.name: fault for fault in FAULTS}
STORM: Final = Fault("storm", "SIGKILL of a random process")


def chosen(text: str | None) -> Sequence[Fault]:
    """Return the faults named by `F1,F3`; all without a text. Raises OperatorError (exit code 2)."""
    if not text:
        return FAULTS
    names = [name.strip().upper() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in BY_NAME:
            raise OperatorError(f"no fault {name!r}; there are {', '.join(BY_NAME)}", exit_code=USAGE)
    return tuple(BY_NAME[name] for name in names)
