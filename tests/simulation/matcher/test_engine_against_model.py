"""Random commands to the engine and to the slow model: every byte, the whole book, all money must agree."""

from __future__ import annotations

import random
from functools import cache
from typing import Any, get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from schemas.codec import decoder_for
from schemas.events import (
    BookEvent,
    CancelRefused,
    ChangeRefused,
    CommandMatched,
    OrderExpired,
    OrderListRefused,
    OrderRefused,
)
from schemas.reasons import ExpiryReason, RejectReason
from tests.examples import examples
from tests.simulation.matcher import streams
from tests.simulation.matcher.agreement import Pair
from tests.simulation.matcher.envelope import Command
from tests.simulation.matcher.trader import KINDS, MARKETPLACES, Trader

SEEDS, STEPS = 8, 250
decode = decoder_for(CommandMatched)
REFUSALS = {
    RejectReason.MARKET_CLOSED,
    RejectReason.DUPLICATE_CLIENT_ORDER_ID,
    RejectReason.PRICE_BAND,
    RejectReason.UNKNOWN_ORDER,
    RejectReason.WOULD_TAKE,
    RejectReason.INVALID_ORDER,
    RejectReason.WOULD_TRIGGER,
    RejectReason.BAD_LIST_PRICES,
    RejectReason.NOT_IN_AUCTION,
    RejectReason.CANCEL_RESTRICTED,
    RejectReason.NO_CHANGE,
    RejectReason.QUANTITY_INCREASE,
    RejectReason.QUANTITY_EXECUTED,
    RejectReason.ORDER_IN_LIST,
    RejectReason.INSUFFICIENT_LOCK,
    RejectReason.NOT_ATTEMPTED,
}
"""What the matcher may say; the processor has the others."""
DICE = st.randoms(use_true_random=False)


@cache
def played(place: str, seed: int) -> Pair:
    return streams.play(place, seed, STEPS)


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
@pytest.mark.parametrize("place", MARKETPLACES)
def test_streams_agree(place: str, seed: int) -> None:
    played(place, seed)


def test_streams_reach_every_event_and_every_reason() -> None:
    pairs = [played(place, seed) for place in MARKETPLACES for seed in range(1, SEEDS + 1)]
    events = [event for pair in pairs for data in pair.outputs for event in decode(data).events]
    assert {type(event) for event in events} == set(get_args(BookEvent))
    assert {event.reason for event in events if isinstance(event, OrderExpired)} == set(ExpiryReason)
    refusals = OrderRefused | OrderListRefused | CancelRefused | ChangeRefused
    assert {event.reason for event in events if isinstance(event, refusals)} == REFUSALS


def test_a_crowd_agrees() -> None:
    streams.crowd(1, 2000)


@pytest.mark.parametrize("path", sorted(streams.CORPUS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_cases_that_once_differed_agree(path: Any) -> None:
    place, commands = streams.load(path)
    assert streams.failure(place, commands) is None


def test_a_difference_is_found_shrunk_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """With a model that gives every trade id twice."""

    def count_twice(model: Any, price_ticks: int) -> None:
        model.trade_id += 1
        model.last_price_ticks = price_ticks

    monkeypatch.setattr("tests.simulation.matcher.naive.matcher.NaiveMatcher.note_trade", count_twice)
    monkeypatch.setattr(streams, "CORPUS", tmp_path)
    with pytest.raises(streams.StreamFailed, match="--place plain --seed 1") as failed:
        streams.play("plain", 1, 60)
    left = streams.shrink("plain", failed.value.commands)
    assert len(left) == 2
    assert streams.load(streams.save("plain", "twice", left)) == ("plain", left)
    assert "last_trade_id: model 2, engine 1" in (streams.failure("plain", left) or "")


class EngineAgainstModel(RuleBasedStateMachine):
    """One rule a kind of command; a restored snapshot and a second delivery may come at any moment."""

    @initialize(place=st.sampled_from(sorted(MARKETPLACES)))
    def start(self, place: str) -> None:
        self.pair = Pair(MARKETPLACES[place])
        self.trader = Trader(self.pair.model, random.Random(0))

    def send(self, kind: str, dice: random.Random) -> None:
        self.trader.dice = dice
        command: Command = self.trader.send(kind)
        self.pair.send(command)

    @rule(dice=DICE)
    def enter(self, dice: random.Random) -> None:
        self.send("enter", dice)

    @rule(dice=DICE)
    def enter_list(self, dice: random.Random) -> None:
        self.send("enter_list", dice)

    @rule(dice=DICE, kind=st.sampled_from(["cancel", "cancel_list", "cancel_all"]))
    def cancel(self, dice: random.Random, kind: str) -> None:
        self.send(kind, dice)

    @rule(dice=DICE, kind=st.sampled_from(["replace", "amend", "move"]))
    def change(self, dice: random.Random, kind: str) -> None:
        self.send(kind, dice)

    @rule(dice=DICE, kind=st.sampled_from(["set_state", "tick", "tick"]))
    def let_time_pass(self, dice: random.Random, kind: str) -> None:
        self.send(kind, dice)

    @rule(dice=DICE)
    def send_nonsense(self, dice: random.Random) -> None:
        self.send("spoiled", dice)

    @rule()
    def restore(self) -> None:
        self.pair.restore()

    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        if self.pair.inputs:
            self.pair.deliver_again(data.draw(st.integers(0, len(self.pair.inputs) - 1)))

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.pair.finish()


def test_the_machine_knows_every_kind_of_command() -> None:
    known = {"enter", "enter_list", "cancel", "cancel_list", "cancel_all", "replace", "amend", "move"}
    assert {kind for kind, _ in KINDS} == known | {"set_state", "tick", "spoiled"}


TestEngineAgainstModel = pytest.mark.timeout(300)(EngineAgainstModel.TestCase)
TestEngineAgainstModel.settings = settings(examples(50), stateful_step_count=50)
