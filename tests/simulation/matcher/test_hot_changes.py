"""The hot book that batches make, one after the other, is the whole book that the engine has."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from matcher import Input, SymbolEngine
from matcher.hot_changes import WholeBook, of_batch
from schemas.hot_book import OpenOrder
from service_runtime.book_change import BookChange
from tests.simulation.matcher.naive.matcher import NaiveMatcher
from tests.simulation.matcher.trader import MARKETPLACES, Trader


class Shown:
    """What Redis would hold."""

    def __init__(self) -> None:
        self.orders: dict[int, OpenOrder] = {}
        self.levels: dict[Any, int] = {}
        self.stamp: tuple[Any, ...] = ()

    def take(self, change: BookChange) -> None:
        if change.begins:
            self.orders, self.levels = {}, {}
        self.orders |= change.set_orders
        for order_id, account_id in change.gone_orders.items():
            gone = self.orders.pop(order_id, None)
            assert gone is None or gone.account_id == account_id
        self.levels = {place: lots for place, lots in (self.levels | change.levels).items() if lots}
        self.stamp = (
            change.sequence,
            change.record_hash,
            change.state,
            change.until_ns,
            change.last_price_ticks,
        )

    def comparable(self) -> tuple[Any, ...]:
        orders = {i: msgspec.structs.replace(o, updated_at_ns=0) for i, o in self.orders.items()}
        return orders, self.levels, self.stamp


def unique_inputs(place: str, seed: int, steps: int) -> list[Input]:
    """Return commands of every kind whose order ids are as the processor gives them: never twice the same."""
    model, inputs = NaiveMatcher(MARKETPLACES[place]), []
    trader = Trader(model, random.Random(f"{place}-{seed}"), duplicates=False)
    for offset in range(steps):
        inputs.append(Input(0, offset, trader.next()))
        model.apply(inputs[-1].command, 0, offset)
    return inputs


def whole(engine: SymbolEngine) -> Shown:
    shown, book = Shown(), WholeBook(engine, "name", takes_over=True)
    while True:
        part = book.next_part()
        shown.take(part)
        if part.ends:
            return shown


@pytest.mark.parametrize("place", MARKETPLACES)
def test_batches_lead_to_the_whole_book(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WholeBook, "PART", 7)
    inputs, dice = unique_inputs(place, 3, 2_000), random.Random(place)
    engine, shown, most = SymbolEngine(MARKETPLACES[place]), Shown(), 0
    while inputs:
        size = dice.randint(1, 6)
        batch, inputs = inputs[:size], inputs[size:]
        if made := engine.apply(batch):
            shown.take(of_batch(engine, made))
            assert shown.comparable() == whole(engine).comparable()
        most = max(most, len(shown.orders))
    assert most > 7
    assert {order.held_until for order in shown.orders.values()} <= {
        None,
        "triggered",
        "working_order_filled",
    }


def test_batches_between_the_parts_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WholeBook, "PART", 3)
    place = next(iter(MARKETPLACES))
    inputs = unique_inputs(place, 4, 400)
    engine, shown = SymbolEngine(MARKETPLACES[place]), Shown()
    engine.apply(inputs[:300])
    building, ends = WholeBook(engine, "name", takes_over=True), False
    for given in inputs[300:]:
        if not ends:
            part = building.next_part()
            ends = part.ends
            shown.take(part)
        if made := engine.apply([given]):
            shown.take(of_batch(engine, made))
    assert ends
    assert shown.comparable() == whole(engine).comparable()
