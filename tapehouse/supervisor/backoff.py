"""How long to wait before a crashed process is started again."""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 0.2
CAP_S: Final = 10.0
HEALTHY_S: Final = 3.0
"""A process that was ready and ran for so long starts with a clean slate,"""
LONG_S: Final = 20.0
"""and so does one that ran for so long without getting ready."""


def delay_s(crashes: int) -> float:
    """Seconds to wait after the given number of crashes in a row: none after the first, then doubling."""
    if crashes <= 1:
        return 0.0
    return float(min(CAP_S, FIRST_S * 2 ** min(crashes - 2, 30)))


def crashes_in_row(before: int, ran_s: float, *, was_ready: bool) -> int:
    """The count after one more crash, of a process that had run for `ran_s`."""
    return 1 if ran_s >= (HEALTHY_S if was_ready else LONG_S) else before + 1
