"""A bound on how much of a processor a process may use, by control groups (Linux, where we may write)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

PERIOD_US: Final = 20_000
"""A process that has used its share of a period waits for the next one: a short one, for a short wait."""


class Mounted(NamedTuple):
    """Where groups for processor time are made. `unified`: control groups version 2."""

    folder: Path
    unified: bool


class NoShares(Exception):
    """This machine lets us make no control group; says why."""


class CpuShares:
    """Groups with a bound. `release` removes them, when their processes have ended."""

    def __init__(self, share: float, mounted: Mounted | None = None) -> None:
        """`share`: of one processor, for each service. Raises NoShares if no group can be made."""
        self.share = share
        found = mounted or find_groups()
        self._folder, self._unified = found
        self._made: list[Path] = []
        if self._unified:
            with _told(self._folder):
                (self._folder / "cgroup.subtree_control").write_text("+cpu")
        attempt = self._folder / f"tapehouse-bench-{os.getpid()}"
        with _told(attempt):
            attempt.mkdir()
            attempt.rmdir()

    def divide(self, pids: Iterable[int]) -> None:
        """Divide the share evenly among the processes of a service. Raises NoShares."""
        processes = list(pids)
        for pid in processes:
            group = self._folder / f"tapehouse-bench-{os.getpid()}-{pid}"
            with _told(group):
                group.mkdir()
                self._made.append(group)
                quota_us = round(self.share * PERIOD_US / len(processes))
                if self._unified:
                    (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
                else:
                    (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                    (group / "cpu.cfs_quota_us").write_text(str(quota_us))
                (group / "cgroup.procs").write_text(str(pid))

    def release(self) -> None:
        made, self._made = self._made, []
        for group in made:
            with contextlib.suppress(OSError):
                group.rmdir()


def find_groups(proc: Path = Path("/proc")) -> Mounted:
    """Return the group of this process that bounds processor time. Raises NoShares."""
    try:
        mounts = [line.split() for line in (proc / "mounts").read_text().splitlines()]
        groups = [line.split(":", 2) for line in (proc / "self" / "cgroup").read_text().splitlines()]
    except OSError as error:
        raise NoShares(f"no control groups: {error}") from None
    for _, where, kind, options, *_ in mounts:
        for number, controllers, path in groups:
            first = kind == "cgroup" and "cpu" in options.split(",") and "cpu" in controllers.split(",")
            second = kind == "cgroup2" and number == "0" and not controllers
            folder = Path(where) / path.lstrip("/")
            if first or (second and _offers_cpu(folder)):
                return Mounted(folder, unified=second)
    raise NoShares("no control group for processor time is mounted")


def _offers_cpu(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return "cpu" in (folder / "cgroup.controllers").read_text().split()
    return False


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NoShares(f"{folder}: {error.strerror}") from None
