"""Hooks and fixtures of all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "tests.service_logs", "tests.services", "tests.verdict"]
# How long an example takes says something about the machine, not about what is tested.
# The verdict is no matter of luck: its examples are the same each time. `make test-search` tries others.
_ANY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("verdict", _ANY, derandomize=True)
settings.register_profile("search", _ANY, max_examples=1_000)
settings.load_profile("verdict")


def pytest_configure(config: pytest.Config) -> None:
    """A terminated run ends like an interrupted one, so that it stops the servers it started."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A program started inside a test sets how it logs; the next test finds the defaults again."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
