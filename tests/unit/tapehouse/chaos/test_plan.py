from __future__ import annotations

import random

import pytest

from service_runtime.failpoints import Failpoint
from tapehouse.chaos import fault, plan
from tapehouse.chaos.injectors import INJECTORS
from tapehouse.errors import USAGE, OperatorError


def test_storm_is_the_same_for_the_same_seed_and_round() -> None:
    assert list(plan.storm(7, 0, 50, 1.0)) == list(plan.storm(7, 0, 50, 1.0))
    assert list(plan.storm(7, 0, 50, 1.0)) != list(plan.storm(7, 1, 50, 1.0))
    assert list(plan.storm(7, 0, 50, 1.0)) != list(plan.storm(8, 0, 50, 1.0))


def test_storm_comes_to_the_kills_asked_for_and_meets_every_service() -> None:
    kills = list(plan.storm(7, 0, 600, 1.0))
    assert sum(1 if kill.failpoint is None else 2 for kill in kills) == 600
    assert {kill.service for kill in kills} == set(plan.WEIGHTS)
    assert all(0.4 <= kill.pause_s <= 1.6 for kill in kills)


def test_storm_arms_only_what_the_service_can_reach() -> None:
    for kill in plan.storm(7, 0, 600, 1.0):
        if kill.failpoint is not None:
            name, _, count = kill.failpoint.partition(":")
            assert name in plan.failpoints_of(kill.service)
            assert name in set(Failpoint)
            assert 1 <= int(count) <= plan.MOST_REACHES


def test_place_of_recovery_is_armed_for_its_first_reach() -> None:
    rng = random.Random(1)
    assert {plan.armed(rng, "recorder.recovery") for _ in range(20)} == {"recorder.recovery:1"}
    assert len({plan.armed(rng, "recorder.before_commit") for _ in range(50)}) > 5


def test_rounds_hold_every_fault_as_often_as_asked() -> None:
    faults = fault.chosen("F1,f3, F27")
    found = plan.rounds(3, faults, 4)
    assert [one.name for one, _ in found] == [one.name for one, _ in plan.rounds(3, faults, 4)]
    for wanted in ("F1", "F3", "F27"):
        assert [one.name for one, _ in found].count(wanted) == 4
    dice = [rng.random() for _, rng in found]
    assert len(set(dice)) == len(dice)


def test_every_fault_has_an_injector_and_an_unknown_one_is_refused() -> None:
    assert {one.name for one in fault.chosen(None)} == set(INJECTORS)
    with pytest.raises(OperatorError, match="no fault 'F99'") as caught:
        fault.chosen("F1,F99")
    assert caught.value.exit_code == USAGE
