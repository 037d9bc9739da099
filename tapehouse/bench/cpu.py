"""Processor time of every process of the exchange, from /proc."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

import psutil


class CpuMeter:
    """Counts a process together with its descendants (Postgres is one process for each connection).

    `processes`: name and pid; several names may be one group by the part before a dash and a number.
    """

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes = dict(processes)
        self._before = self._read()
        self._since = time.monotonic()

    def elapsed_s(self) -> float:
        return time.monotonic() - self._since

    def seconds(self) -> dict[str, float]:
        """Return the seconds each process has used since the meter was made."""
        now = self._read()
        return {name: max(now.get(name, 0.0) - used, 0.0) for name, used in self._before.items()}

    def _read(self) -> dict[str, float]:
        return {name: used_seconds(pid) for name, pid in self._processes.items()}


def used_seconds(pid: int) -> float:
    """Return user and system time of the process and of its descendants, ended ones too; 0 if it is gone."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system + getattr(times, "children_user", 0.0)
                total += getattr(times, "children_system", 0.0)
    return total


def by_service(processes: Mapping[str, float]) -> dict[str, float]:
    """Add up the instances of each service: `matcher-0` and `matcher-1` are `matcher`."""
    found: dict[str, float] = {}
    for process, used in processes.items():
        service, _, number = process.rpartition("-")
        name = service if number.isdigit() else process
        found[name] = found.get(name, 0.0) + used
    return found
