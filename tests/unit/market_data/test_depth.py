from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_data.depth import Depth, DepthDiff
from schemas.events import LevelChange
from schemas.instruments import load_instruments
from schemas.orders import Side
from service_runtime.errors import InvariantBroken
from tests.examples import examples
from tests.unit.market_data.builders import Market

INSTRUMENT = load_instruments()["BTCUSDT"]


def change(side: Side, price: int, lots: int) -> LevelChange:
    return LevelChange(side=side, price_ticks=price, quantity_lots=lots)


def texts(levels: dict[int, int], limit: int, *, descending: bool) -> list[list[str]]:
    return [
        [INSTRUMENT.price_text(price), INSTRUMENT.quantity_text(levels[price])]
        for price in sorted(levels, reverse=descending)[:limit]
    ]


def test_snapshot_is_best_first_and_in_eight_decimals() -> None:
    depth = Depth(INSTRUMENT)
    depth.apply([change(Side.BUY, 100, 5), change(Side.BUY, 101, 7), change(Side.SELL, 103, 1)], 3)
    assert json.loads(depth.snapshot_json(100)) == {
        "lastUpdateId": 3,
        "bids": [["1.01000000", "0.00000700"], ["1.00000000", "0.00000500"]],
        "asks": [["1.03000000", "0.00000100"]],
    }
    assert json.loads(depth.snapshot_json(1))["bids"] == [["1.01000000", "0.00000700"]]


def test_update_ids_without_a_gap_are_demanded() -> None:
    depth = Depth(INSTRUMENT)
    depth.apply([change(Side.BUY, 100, 5)], 1)
    with pytest.raises(InvariantBroken):
        depth.apply([change(Side.BUY, 100, 6)], 3)


def test_a_gone_level_is_told_with_quantity_zero() -> None:
    depth = Depth(INSTRUMENT)
    diff = DepthDiff(depth)
    for levels, last in (([change(Side.SELL, 100, 5)], 1), ([change(Side.SELL, 100, 0)], 2)):
        depth.apply(levels, last)
        diff.note(levels)
    event = json.loads(diff.take_json("BTCUSDT", 7) or b"")
    assert (event["U"], event["u"], event["b"], event["a"]) == (1, 2, [], [["1.00000000", "0.00000000"]])
    assert diff.take_json("BTCUSDT", 8) is None


def test_loaded_levels_go_on_from_their_update_id() -> None:
    depth = Depth(INSTRUMENT)
    depth.load(41, [(100, 5)], [(102, 6)])
    depth.apply([change(Side.BUY, 100, 0)], 42)
    assert depth.bids.best() is None
    assert depth.asks.best() == (102, 6)


@examples(60)
@given(st.integers(0, 2**32), st.integers(1, 120))
def test_depth_equals_a_plain_book(seed: int, commands: int) -> None:
    rng, market, depth = random.Random(seed), Market(), Depth(INSTRUMENT)
    for _ in range(commands):
        record = market.random_command(rng)
        depth.apply(record.levels, record.last_update_id)
        limit = rng.choice([1, 5, 100])
        assert json.loads(depth.snapshot_json(limit)) == {
            "lastUpdateId": market.update_id,
            "bids": texts(market.bids, limit, descending=True),
            "asks": texts(market.asks, limit, descending=False),
        }
        assert depth.bids.best() == max(market.bids.items(), default=None)
        assert depth.asks.best() == min(market.asks.items(), default=None)


@examples(60)
@given(st.integers(0, 2**32), st.integers(5, 150))
def test_snapshot_and_diffs_give_the_book_by_the_clients_rules(seed: int, commands: int) -> None:
    """API.md 4.1: subscribe, buffer, take a snapshot, drop what it has, then every event follows."""
    rng, market, depth = random.Random(seed), Market(), Depth(INSTRUMENT)
    diff = DepthDiff(depth)
    events, snapshot = [], None
    subscribed_at, snapshot_at = commands // 4, commands // 2
    for number in range(commands):
        record = market.random_command(rng)
        depth.apply(record.levels, record.last_update_id)
        diff.note(record.levels)
        if rng.random() < 0.3:
            if number < subscribed_at:
                diff.skip()
            elif (event := diff.take_json("BTCUSDT", 0)) is not None:
                events.append(json.loads(event))
        if number == snapshot_at:
            snapshot = json.loads(depth.snapshot_json(5_000))
    last = diff.take_json("BTCUSDT", 0)
    events += [json.loads(last)] if last is not None else []
    assert snapshot is not None
    book = {side: dict(snapshot[name]) for side, name in (("b", "bids"), ("a", "asks"))}
    nonce = snapshot["lastUpdateId"]
    for event in events:
        if event["u"] <= nonce:
            continue
        assert event["U"] <= nonce + 1
        for side in ("b", "a"):
            for price, quantity in event[side]:
                if quantity == "0.00000000":
                    book[side].pop(price, None)
                else:
                    book[side][price] = quantity
        nonce = event["u"]
    assert nonce == market.update_id
    assert book["b"] == dict(texts(market.bids, 5_000, descending=True))
    assert book["a"] == dict(texts(market.asks, 5_000, descending=False))
