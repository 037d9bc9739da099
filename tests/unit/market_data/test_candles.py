"""Bars applied one by one against candles computed from the trades at once."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_data.bars import BarMaker
from market_data.candles.candle_book import CandleBook, candles_to_publish, ticker_to_publish
from market_data.candles.ticker_window import window_open_ms
from market_data.intervals import INTERVALS, MINUTE_MS
from schemas.events import Candle, TradeBar, TradeExecuted
from schemas.orders import Side
from service_runtime.errors import SequenceGap
from tests.examples import examples
from tests.unit.market_data.builders import START_MS, Market

GRACE_MS = 750
PAUSES_MS = [0, 0, 3, 200, 400, 1_000, 30_000, 61_000, 3_600_000, 40_000_000]


class SlowModel:
    """Keeps every trade and sums up a candle when asked."""

    def __init__(self, trades: Iterable[TradeExecuted]) -> None:
        self.trades = sorted(trades, key=lambda trade: trade.trade_id)

    def inside(self, start_ms: int, end_ms: int) -> list[TradeExecuted]:
        return [t for t in self.trades if start_ms <= t.occurred_at_ns // 1_000_000 < end_ms]

    def candle(self, name: str, open_ms: int) -> tuple[int, ...]:
        inside = self.inside(open_ms, INTERVALS[name].next_open(open_ms))
        buys = [trade for trade in inside if trade.taker_side is Side.BUY]
        prices = [trade.price_ticks for trade in inside]
        return (
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
            sum(trade.quantity_lots for trade in inside),
            sum(trade.quote_minor for trade in inside),
            sum(trade.quantity_lots for trade in buys),
            sum(trade.quote_minor for trade in buys),
            len(inside),
            inside[0].trade_id,
            inside[-1].trade_id,
        )


def figures(candle: Candle) -> tuple[int, ...]:
    return (
        candle.open_ticks,
        candle.high_ticks,
        candle.low_ticks,
        candle.close_ticks,
        candle.volume_lots,
        candle.quote_minor,
        candle.taker_buy_lots,
        candle.taker_buy_quote_minor,
        candle.trade_count,
        candle.first_trade_id,
        candle.last_trade_id,
    )


def trades_of(rng: random.Random, count: int, late_ms: int = 0) -> list[TradeExecuted]:
    market = Market()
    for _ in range(count):
        market.now_ms += rng.choice(PAUSES_MS)
        now_ms = market.now_ms
        market.now_ms -= rng.choice([0, 0, 0, rng.randint(0, late_ms)]) if late_ms else 0
        market.trade(rng.randint(1, 99), rng.randint(1, 9), rng.choice([Side.BUY, Side.SELL]))
        market.now_ms = now_ms
    return market.trades


def bars_of(trades: list[TradeExecuted], rng: random.Random) -> list[TradeBar]:
    maker, bars = BarMaker(0, {}), []
    for offset, trade in enumerate(trades):
        bar = maker.add(trade, offset)
        bars += [bar] if bar is not None else []
        if rng.random() < 0.2:
            bars += maker.flush()
    return bars + maker.flush()


def publish(
    book: CandleBook, now_ms: int, served: dict[tuple[str, int], Candle], **options: bool
) -> list[Candle]:
    """Publish what is due, as the worker does, into what is served."""
    book.load()
    records = []
    for _, work in book:
        records += candles_to_publish(work, now_ms, GRACE_MS, caught_up=options.get("caught_up", True))
        work.candles.published(records)
    for candle in records:
        served[candle.interval, candle.open_time_ms] = candle
    return records


def assert_true(served: dict[tuple[str, int], Candle], trades: list[TradeExecuted]) -> None:
    model = SlowModel(trades)
    for name, interval in INTERVALS.items():
        opens = {interval.open_of(trade.occurred_at_ns // 1_000_000) for trade in trades}
        traded = {open_ms for (n, open_ms), candle in served.items() if n == name and candle.trade_count}
        assert traded == opens, name
        for open_ms in opens:
            assert figures(served[name, open_ms]) == model.candle(name, open_ms), (name, open_ms)


@examples(60)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from([0, 900, 8_000]))
def test_candles_equal_the_slow_model_through_crashes(seed: int, count: int, late_ms: int) -> None:
    """Killed between any two table writes, bars redelivered from an older offset: nothing changes."""
    rng = random.Random(seed)
    trades = trades_of(rng, count, late_ms)
    bars = bars_of(trades, rng)
    writes: list[tuple[bytes, bytes | None]] = []
    served: dict[tuple[str, int], Candle] = {}

    class Recorded(dict[bytes, bytes]):
        def __setitem__(self, key: bytes, value: bytes) -> None:
            super().__setitem__(key, value)
            writes.append((key, value))

        def pop(self, key: bytes, *default: object) -> object:  # type: ignore[override]
            writes.append((key, None))
            return super().pop(key, None)

    book, index, acknowledged = CandleBook(Recorded()), 0, 0
    crashes = 3
    while index < len(bars):
        before = len(writes)
        book.apply(bars[index])
        index += 1
        if rng.random() < 0.3:
            publish(book, trades[-1].occurred_at_ns // 1_000_000, served, caught_up=False)
        if rng.random() < 0.2:
            acknowledged = index
        if crashes and rng.random() < 0.1:
            crashes -= 1
            del writes[rng.randint(before, len(writes)) :]  # the last writes never got out
            acknowledged = min(acknowledged, index - 1)  # offsets go out after the writes
            rows: dict[bytes, bytes] = {}
            for key, value in writes:
                if value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = value
            book = CandleBook(Recorded(rows))
            index = min(acknowledged, index)
            while (missing := index < len(bars) and book.missing_before(bars[index])) and index:
                assert not missing, "an acknowledged bar is not in the table"
    publish(book, START_MS + 10 * 366 * 86_400_000, served)
    assert_true(served, trades)


def test_a_bar_seen_twice_changes_nothing() -> None:
    rng = random.Random(1)
    bars = bars_of(trades_of(rng, 20), rng)
    table: dict[bytes, bytes] = {}
    book = CandleBook(table)
    for bar in bars:
        book.apply(bar)
    before = dict(table)
    for bar in bars:
        book.apply(bar)
    assert table == before


def test_a_bar_that_does_not_follow_is_told_and_refused() -> None:
    rng = random.Random(2)
    bars = bars_of(trades_of(rng, 20), rng)
    book = CandleBook({})
    book.apply(bars[0])
    assert book.missing_before(bars[0]) is None
    assert book.missing_before(bars[1]) is None
    assert book.missing_before(bars[2]) == (
        bars[0].next_offset,
        bars[0].last_trade_id,
        bars[2].last_trade_id,
    )
    with pytest.raises(SequenceGap):
        book.apply(bars[2])


def test_flat_candles_are_published_as_time_passes_and_each_closes_once() -> None:
    market = Market()
    market.trade(100, 5)
    rng = random.Random(3)
    book, served = CandleBook({}), {}
    book.apply(bars_of(market.trades, rng)[0])
    closed: list[tuple[str, int]] = []
    for step in range(0, 200_000, 400):
        records = publish(book, START_MS + step, served)
        closed += [(candle.interval, candle.open_time_ms) for candle in records if candle.closed]
    assert len(closed) == len(set(closed))
    seconds = [open_ms for name, open_ms in closed if name == "1s"]
    assert seconds == list(range(START_MS, START_MS + 198_000, 1_000))
    flat = served["1m", START_MS + MINUTE_MS]
    assert figures(flat) == (100, 100, 100, 100, 0, 0, 0, 0, 0, -1, -1)
    assert flat.closed
    assert not served["5m", START_MS].closed


def test_a_worker_that_lags_closes_nothing_by_the_clock() -> None:
    market = Market()
    market.trade(100, 5)
    book, served = CandleBook({}), {}
    book.apply(bars_of(market.trades, random.Random(4))[0])
    records = publish(book, START_MS + 3_600_000, served, caught_up=False)
    assert records
    assert not any(candle.closed for candle in records)


def test_a_late_bar_updates_the_candle_it_belongs_to_and_says_it_is_closed() -> None:
    market = Market()
    market.trade(100, 5)
    market.now_ms += 10 * MINUTE_MS
    for _ in range(5):
        market.now_ms += MINUTE_MS
        market.trade(101, 1)
    book, served = CandleBook({}), {}
    for bar in bars_of(market.trades, random.Random(5)):
        book.apply(bar)
        publish(book, bar.last_at_ms + 5_000, served)
    market.now_ms = START_MS + 30_000
    market.trade(250, 7)
    late = bars_of(market.trades, random.Random(5))[-1]
    book.apply(late)
    publish(book, START_MS + 20 * MINUTE_MS, served)
    assert_true({key: c for key, c in served.items() if key[0] != "1s"} | seconds(market), market.trades)
    assert served["1m", START_MS].closed
    assert served["1m", START_MS].high_ticks == 250


def seconds(market: Market) -> dict[tuple[str, int], Candle]:
    """Serve 1s candles of every trade by themselves: the late one is not what is looked at."""
    book, served = CandleBook({}), {}
    for bar in bars_of(market.trades, random.Random(5)):
        book.apply(bar)
        publish(book, bar.last_at_ms, served)
    return {key: candle for key, candle in served.items() if key[0] == "1s"}


@examples(60)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_ticker_equals_the_slow_model_as_time_passes(seed: int, count: int) -> None:
    rng = random.Random(seed)
    trades = trades_of(rng, count)
    book, model = CandleBook({}), SlowModel([])
    applied = 0
    for bar in bars_of(trades, rng):
        work = book.apply(bar)
        publish(book, bar.last_at_ms, {})
        applied = bar.last_trade_id
        model.trades = trades[:applied]
        now_ms = bar.last_at_ms + rng.choice([0, 30_000, 7_200_000, 90_000_000])
        ticker = ticker_to_publish(work, now_ms)
        assert ticker is not None
        opened = window_open_ms(now_ms)
        inside = model.inside(opened, 2**62)
        before = model.inside(0, opened)
        assert ticker.open_time_ms == opened
        assert ticker.trade_count == len(inside)
        assert ticker.volume_lots == sum(trade.quantity_lots for trade in inside)
        assert ticker.previous_close_ticks == (before[-1].price_ticks if before else 0)
        if inside:
            prices = [trade.price_ticks for trade in inside]
            assert (ticker.open_ticks, ticker.high_ticks, ticker.low_ticks, ticker.last_ticks) == (
                prices[0],
                max(prices),
                min(prices),
                prices[-1],
            )
            assert (ticker.first_trade_id, ticker.last_trade_id) == (inside[0].trade_id, inside[-1].trade_id)
        else:
            assert (ticker.first_trade_id, ticker.last_trade_id, ticker.last_ticks) == (-1, -1, 0)


def test_a_ticker_is_due_again_after_trades_and_each_minute() -> None:
    market = Market()
    market.trade(100, 5)
    book = CandleBook({})
    work = book.apply(bars_of(market.trades, random.Random(6))[0])
    ticker = ticker_to_publish(work, START_MS)
    assert ticker is not None
    work.window.told(ticker, 1)
    assert ticker_to_publish(work, START_MS + 59_999) is None
    assert ticker_to_publish(work, START_MS + 60_000) is not None


def test_a_candle_leaves_the_row_only_after_it_was_told_to_be_closed() -> None:
    """Published while open, then overtaken by many bars at once: it is told closed, with its trades."""
    market = Market()
    market.trade(100, 5)
    book, served = CandleBook({}), {}
    bars = bars_of(market.trades, random.Random(7))
    book.apply(bars[0])
    publish(book, START_MS + 500, served)
    assert not served["1h", START_MS].closed
    for _ in range(6):
        market.now_ms += 3_600_000
        market.trade(101, 1)
    for bar in bars_of(market.trades, random.Random(7)):
        book.apply(bar)
    publish(book, market.now_ms + 5_000, served)
    assert_true(served, market.trades)
    assert served["1h", START_MS].closed


def test_a_minute_stored_by_a_run_that_died_before_its_state_counts_once() -> None:
    market = Market()
    for _ in range(8):
        market.trade(100, 1)
        market.now_ms += MINUTE_MS
    table: dict[bytes, bytes] = {}
    book = CandleBook(table)
    torn = None
    for bar in bars_of(market.trades, random.Random(8)):
        state, rows = table.get(b"BTCUSDT"), len(table)
        book.apply(bar)
        publish(book, bar.last_at_ms + 60_000, {})
        if state is not None and len(table) > rows:
            torn = (state, bar.first_trade_id - 1)
            break
    assert torn is not None
    table[b"BTCUSDT"] = torn[0]
    ticker = ticker_to_publish(CandleBook(table).work("BTCUSDT"), market.now_ms)
    assert ticker is not None
    assert ticker.trade_count == torn[1]
