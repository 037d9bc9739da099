"""What failed is left alone, longer each time, until it answers."""

from __future__ import annotations

from service_runtime.breaker import Breaker
from service_runtime.clock import ManualClock


def made() -> tuple[Breaker, ManualClock]:
    clock = ManualClock()
    return Breaker("Redis", 1.0, clock.monotonic_s), clock


def fail_after(breaker: Breaker, clock: ManualClock, pause_s: float) -> None:
    """Fail, and hold the breaker to a pause of exactly so long."""
    breaker.failed(OSError("refused"))
    assert breaker.is_open
    clock.advance(pause_s - 0.01)
    assert breaker.is_open
    clock.advance(0.02)
    assert not breaker.is_open


def test_it_is_closed_until_something_fails() -> None:
    breaker, _ = made()
    breaker.succeeded()
    assert not breaker.is_open


def test_the_pause_doubles_up_to_four_times_the_first() -> None:
    breaker, clock = made()
    for pause_s in (1.0, 2.0, 4.0, 4.0):
        fail_after(breaker, clock, pause_s)


def test_a_success_makes_the_next_pause_short_again() -> None:
    breaker, clock = made()
    fail_after(breaker, clock, 1.0)
    fail_after(breaker, clock, 2.0)
    breaker.succeeded()
    fail_after(breaker, clock, 1.0)


def test_those_under_way_when_it_opened_do_not_make_it_longer() -> None:
    breaker, clock = made()
    for _ in range(10):
        breaker.failed(OSError("refused"))
    clock.advance(1.01)
    assert not breaker.is_open
