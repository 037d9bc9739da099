from __future__ import annotations

from typing import Any

import msgspec
import pytest

from matcher import SymbolEngine
from matcher.engine_state import UnusableState, restore, snapshot
from schemas.codec import record_hash
from schemas.instruments import load_instruments
from tests.unit.matcher.orders import BUY, INSTRUMENT, SELL, Desk


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.enter(1, SELL, 100, 5, account_id=4)
    desk.enter(2, BUY, 100, 2)
    desk.enter(3, BUY, 99, 2)
    return desk


def test_restored_engine_is_the_same(desk: Desk) -> None:
    fresh = SymbolEngine(INSTRUMENT)
    restore(fresh, snapshot(desk.engine, 9))
    assert fresh.state() == desk.engine.state()
    assert fresh.book_hash() == desk.engine.book_hash()


@pytest.mark.parametrize(
    "damage",
    [
        {"state": "{}"},
        {"checksum": "0" * 32},
        {"engine_version": "0"},
        {"symbol": "ETHUSDT"},
        {"sequence": 2},
        {"input_offset": 1},
        {"last_hash": "0" * 32},
        {"state": "no json", "checksum": record_hash(b"no json")},
    ],
    ids=str,
)
def test_a_snapshot_that_disagrees_is_refused(desk: Desk, damage: dict[str, Any]) -> None:
    with pytest.raises(UnusableState):
        restore(SymbolEngine(INSTRUMENT), msgspec.structs.replace(snapshot(desk.engine, 9), **damage))


def test_a_state_of_other_steps_is_refused(desk: Desk) -> None:
    state = desk.engine.state().replace('"lot_minor":', '"lot_minor":1')
    with pytest.raises(UnusableState, match="lot"):
        SymbolEngine(INSTRUMENT).restore(state)
    with pytest.raises(UnusableState, match="symbol"):
        SymbolEngine(load_instruments()["ETHBTC"]).restore(desk.engine.state())


def test_book_hash_depends_on_priority() -> None:
    one, two = Desk(), Desk()
    for desk, ids in ((one, (1, 2)), (two, (2, 1))):
        for order_id in ids:
            desk.enter(order_id, BUY, 100, 1)
    assert one.engine.book_hash() != two.engine.book_hash()
