from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.succession import Patience, Step, Suspicion, after_claim
from schemas.events import PartitionClaimed
from tests.examples import examples

PATIENCE = Patience(least_s=0.06, most_s=0.4, factor=4)


def claim(holder: str, standby: bool = False) -> PartitionClaimed:
    return PartitionClaimed(
        event_id=holder,
        correlation_id=holder,
        causation_id=holder,
        occurred_at_ns=0,
        partition=0,
        holder=holder,
        standby=standby,
    )


def calm(start_s: float = 0.0) -> tuple[Suspicion, float]:
    """Return a suspicion whose owner was quick for a minute, and the time then."""
    suspicion, now = Suspicion(PATIENCE, start_s), start_s
    for _ in range(6_000):
        now += 0.01
        assert not suspicion.look(now, waits=True, heard=True)
    return suspicion, now


def silence_until_suspected(suspicion: Suspicion, now: float) -> float:
    began = now
    while not suspicion.look(now, waits=True, heard=False):
        now += 0.01
        assert now < began + 2
    return now - began


def test_owner_that_was_quick_is_suspected_soon() -> None:
    suspicion, now = calm()
    assert silence_until_suspected(suspicion, now) == pytest.approx(0.06, abs=0.011)


def test_owner_just_met_is_given_the_longest_time() -> None:
    assert silence_until_suspected(Suspicion(PATIENCE, 0.0), 0.0) == pytest.approx(0.4, abs=0.021)


def test_nothing_waited_for_is_no_silence() -> None:
    suspicion, now = calm()
    for n in range(1_000):
        assert not suspicion.look(now + n / 10, waits=False, heard=False)


def test_wait_counts_from_when_something_was_waited_for() -> None:
    suspicion, now = calm()
    suspicion.look(now, waits=False, heard=False)
    assert not suspicion.look(now + 5, waits=True, heard=False)
    assert suspicion.silent_s == 0


def test_owner_heard_lately_to_be_slow_is_given_more_time() -> None:
    suspicion, now = calm()
    for _ in range(5):
        now += 0.01
        assert not suspicion.look(now, waits=True, heard=False)
    assert not suspicion.look(now, waits=True, heard=True)
    assert silence_until_suspected(suspicion, now) > 0.15


def test_who_was_frozen_itself_suspects_nobody() -> None:
    suspicion, now = calm()
    assert not suspicion.look(now + 3_600, waits=True, heard=False)
    assert suspicion.silent_s <= 0.02


def test_slow_owner_that_came_back_is_waited_for_longer() -> None:
    suspicion, now = calm()
    before = silence_until_suspected(suspicion, now)
    suspicion.yielded(led_s=0.5, same_life=True)
    assert silence_until_suspected(suspicion, now + before) > 2 * before


@pytest.mark.parametrize(("led_s", "same_life"), [(0.5, False), (5.0, True)])
def test_restarted_or_frozen_owner_that_came_back_is_not(led_s: float, same_life: bool) -> None:
    suspicion, now = calm()
    before = silence_until_suspected(suspicion, now)
    suspicion.yielded(led_s, same_life)
    assert silence_until_suspected(suspicion, now + before) == pytest.approx(before, abs=0.011)


@examples(50)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), max_size=200))
def test_limit_stays_in_bounds_and_only_silence_is_suspected(
    looks: list[tuple[float, bool, bool]],
) -> None:
    suspicion, now = Suspicion(PATIENCE, 0.0), 0.0
    for passed, waits, heard in looks:
        now += passed
        suspected = suspicion.look(now, waits, heard)
        assert PATIENCE.least_s <= suspicion.limit_s <= PATIENCE.most_s
        assert not suspected or (waits and not heard and suspicion.silent_s >= suspicion.limit_s)


@pytest.mark.parametrize(
    ("own", "last", "step"),
    [
        (claim("m-1"), claim("m-1"), Step.GO_ON),
        (claim("s-1", standby=True), claim("s-1", standby=True), Step.GO_ON),
        (claim("m-1"), claim("s-1", standby=True), Step.CLAIM_AGAIN),
        (claim("m-1"), claim("m-2"), Step.END),
        (claim("s-1", standby=True), claim("m-1"), Step.YIELD),
        (claim("s-1", standby=True), claim("s-2", standby=True), Step.YIELD),
    ],
)
def test_who_yields(own: PartitionClaimed, last: PartitionClaimed, step: Step) -> None:
    assert after_claim(own, last) is step


@examples(50)
@given(st.lists(st.sampled_from(["m-1", "m-2", "s-1", "s-2"]), min_size=1, max_size=12))
def test_in_the_end_one_holds(order: list[str]) -> None:
    """Whoever claimed in whatever order: once all have seen the last claim, and answered it, one goes on."""
    log, alive = [claim(name, standby=name.startswith("s")) for name in order], set(order)
    own = {each.holder: each for each in log}
    for _ in range(10):
        before = list(log)
        for name in sorted(alive):
            step = after_claim(own[name], log[-1])
            if step is Step.CLAIM_AGAIN:
                log.append(own[name])
            elif step is not Step.GO_ON:
                alive.discard(name)
        if log == before and len(alive) == 1:
            break
    assert alive == {log[-1].holder}
    matchers = [name for name in order if name.startswith("m")]
    assert not matchers or log[-1].holder in matchers
    assert all(one.holder != two.holder for one, two in pairwise(log[len(order) :]))
