"""Time as an argument, so that tests drive it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    def now_ns(self) -> int:
        """Unix time, UTC, in nanoseconds. May step; never decides order."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never step back, for intervals."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        ...


class SystemClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ManualClock:
    """A clock that stands still until a test moves it, or the tested sleeps."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._monotonic_s = 0.0

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        self._now_ns += int(seconds * 1e9)
        self._monotonic_s += seconds

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)
