from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_data.bars import SLOT_MS, BarMaker
from schemas.events import TradeBar, TradeExecuted
from schemas.orders import Side
from service_runtime.errors import SequenceGap
from tests.examples import examples
from tests.unit.market_data.builders import START_MS, Market


def tape(rng: random.Random, count: int) -> list[TradeExecuted]:
    """Trades of two symbols in one partition's order; time mostly goes on, now and then back."""
    markets = [Market("BTCUSDT"), Market("ETHUSDT")]
    trades = []
    now_ms = START_MS
    for _ in range(count):
        market = rng.choice(markets)
        now_ms += rng.choice([0, 0, 1, 7, 90, 250, 1_300, -3])
        market.now_ms = now_ms
        market.trade(rng.randint(1, 50), rng.randint(1, 9), rng.choice([Side.BUY, Side.SELL]))
        trades.append(market.trades[-1])
    return trades


def test_a_bar_holds_the_trades_of_one_slot() -> None:
    market, maker = Market(), BarMaker(0, {})
    for price, lots, side in ((10, 1, Side.BUY), (12, 2, Side.SELL), (9, 3, Side.BUY)):
        market.trade(price, lots, side)
        market.now_ms += 10
    assert [maker.add(trade, offset) for offset, trade in enumerate(market.trades)] == [None] * 3
    (bar,) = maker.flush()
    assert (bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks) == (10, 12, 9, 9)
    assert (bar.first_trade_id, bar.last_trade_id, bar.volume_lots, bar.taker_buy_lots) == (1, 3, 6, 4)
    assert (bar.first_at_ms, bar.last_at_ms, bar.last_quantity_lots) == (START_MS, START_MS + 20, 3)
    assert bar.quote_minor == sum(trade.quote_minor for trade in market.trades)
    assert bar.next_offset == 3
    assert maker.flush() == []


def test_a_bar_never_crosses_a_whole_second() -> None:
    market, maker = Market(now_ms=START_MS + 999), BarMaker(0, {})
    market.trade(10, 1)
    market.now_ms += 1
    market.trade(11, 1)
    assert maker.add(market.trades[0], 0) is None
    done = maker.add(market.trades[1], 1)
    assert done is not None
    assert (done.last_trade_id, done.next_offset) == (1, 1)


def test_a_missing_trade_is_a_fault() -> None:
    market, maker = Market(), BarMaker(0, {})
    for _ in range(3):
        market.trade(10, 1)
    maker.add(market.trades[0], 0)
    with pytest.raises(SequenceGap):
        maker.add(market.trades[2], 1)


@examples(150)
@given(st.integers(0, 2**32), st.integers(1, 80), st.integers(0, 3))
def test_no_trade_is_missed_or_counted_twice_over_restarts(seed: int, count: int, crashes: int) -> None:
    rng = random.Random(seed)
    trades = tape(rng, count)
    written: list[TradeBar] = []
    crash_points = [*sorted(rng.randrange(count + 1) for _ in range(crashes)), count]
    for stop_at in crash_points:
        last_ids: dict[str, int] = {}
        for bar in written[-10:]:
            last_ids[bar.symbol] = bar.last_trade_id
        maker = BarMaker(written[-1].next_offset if written else 0, last_ids)
        for offset in range(maker.next_offset, stop_at):
            bar = maker.add(trades[offset], offset)
            written += [bar] if bar is not None else []
            if rng.random() < 0.2:
                written += maker.flush()
        bars = maker.flush()
        written += bars if stop_at == count else bars[: rng.randint(0, len(bars))]  # killed while writing
    for symbol in ("BTCUSDT", "ETHUSDT"):
        own = [trade for trade in trades if trade.symbol == symbol]
        bars = [bar for bar in written if bar.symbol == symbol]
        assert bars == [] or bars[0].first_trade_id == 1
        assert all(after.first_trade_id == bar.last_trade_id + 1 for bar, after in pairwise(bars))
        assert (bars[-1].last_trade_id if bars else 0) == len(own)
        for bar in bars:
            inside = own[bar.first_trade_id - 1 : bar.last_trade_id]
            assert bar.volume_lots == sum(trade.quantity_lots for trade in inside)
            assert bar.high_ticks == max(trade.price_ticks for trade in inside)
            assert bar.low_ticks == min(trade.price_ticks for trade in inside)
            assert len({trade.occurred_at_ns // 1_000_000 // SLOT_MS for trade in inside}) == 1
