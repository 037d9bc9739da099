"""Waiting for what another process or thread does: on a condition, with a deadline that is a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(check: Callable[[], T], what: str = "", timeout_s: float = 60) -> T:
    """Return the first true answer of `check`; fail after the deadline, naming `what` did not come."""
    deadline = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < deadline, (
            f"not in {timeout_s:g} s: {what or 'what was waited for'} ({found!r})"
        )
        time.sleep(0.02)
    return found
