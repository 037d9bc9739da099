"""A circuit breaker: what just failed is left alone for a moment, so that nobody waits for it again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

_log = structlog.get_logger("breaker")
_LONGEST: Final = 4
"""The pause doubles with every failure in a row, up to so many times the first."""


class Breaker:
    """Open after a failure, for `retry_after_s` and longer with each further one; a success closes it."""

    def __init__(
        self, what: str, retry_after_s: float, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._retry_after_s = retry_after_s
        self._monotonic_s = monotonic_s
        self._pause_s = retry_after_s
        self._closed_again_at = 0.0
        self._failing = False

    @property
    def is_open(self) -> bool:
        return self._failing and self._monotonic_s() < self._closed_again_at

    def failed(self, error: Exception) -> None:
        """Open it. Those that were under way when it opened do not make the pause longer."""
        if self.is_open:
            return
        if self._failing:
            self._pause_s = min(self._pause_s * 2, self._retry_after_s * _LONGEST)
        else:
            _log.warning(f"{self._what} away, going on without", error=" ".join(str(error).split())[:200])
        self._failing = True
        self._closed_again_at = self._monotonic_s() + self._pause_s

    def succeeded(self) -> None:
        if self._failing:
            _log.info(f"{self._what} answers again")
            self._failing, self._pause_s = False, self._retry_after_s
