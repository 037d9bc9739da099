from __future__ import annotations

from tapehouse.supervisor import backoff


def test_first_crash_is_restarted_at_once_then_pauses_double_to_a_cap() -> None:
    delays = [backoff.delay_s(crashes) for crashes in range(1, 10)]
    assert delays == [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert backoff.delay_s(10**9) == backoff.CAP_S


def test_long_run_starts_a_new_row() -> None:
    assert backoff.crashes_in_row(7, ran_s=0.1, was_ready=True) == 8
    assert backoff.crashes_in_row(7, ran_s=backoff.HEALTHY_S, was_ready=True) == 1


def test_slow_start_that_fails_is_no_long_run() -> None:
    assert backoff.crashes_in_row(7, ran_s=backoff.HEALTHY_S, was_ready=False) == 8
    assert backoff.crashes_in_row(7, ran_s=backoff.LONG_S, was_ready=False) == 1
