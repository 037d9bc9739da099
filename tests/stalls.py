"""A plugin by which the process that tests stands still now and then, as on a machine that others share.

    .venv/bin/python -m pytest -p tests.stalls PATH

Event loops pause before a step, and threads before their first line, for up to a second, a dozen times a test
at most. A test that fails with it depends on how fast the machine is.
"""

from __future__ import annotations

import random
import threading
import time
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from typing import Any

import pytest

_SHARE = 0.05
_LONGEST_S = 1.0
_MOST = 12
_dice = random.Random()
_stalls = 0


def _stall() -> None:
    global _stalls
    if _stalls < _MOST and _dice.random() < _SHARE:
        _stalls += 1
        time.sleep(_dice.random() * _LONGEST_S)


def _stalling(method: Callable[..., Any]) -> Callable[..., Any]:
    def stalled(self: Any) -> Any:
        _stall()
        return method(self)

    return stalled


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    global _stalls
    _stalls = 0


BaseEventLoop._run_once = _stalling(BaseEventLoop._run_once)
threading.Thread.run = _stalling(threading.Thread.run)
