"""Old trades and candles from Postgres, new ones from memory: one answer without a hole."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from market_data import candle_store
from market_data.candle_store import CandleHistory
from market_data.candles.candle_book import CandleBook, candles_to_publish
from market_data.fanout import Hub
from market_data.intervals import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS
from market_data.klines import Klines
from market_data.recent_trades import Trade, aggregate
from market_data.rest import MarketRest
from market_data.rolling_windows import RollingWindows, opened_before, trading_day
from market_data.symbol_view import MarketView, SymbolView
from market_data.trade_history import TradeHistory
from market_data.window_streams import WindowStreams
from market_data.zoned_candles import zoned
from market_data.zoned_streams import ZonedStreams
from schemas.codec import decoder_for
from schemas.events import Candle, CommandMatched
from schemas.instruments import load_instruments
from schemas.orders import Side
from service_runtime.clock import ManualClock
from service_runtime.hot_book_reads import AsyncHotBook
from service_runtime.migrations import migrate
from service_runtime.settings import RedisSettings
from tests.integration.market_data.conftest import MIGRATIONS
from tests.unit.market_data.builders import START_MS, Market
from tests.unit.market_data.test_candles import bars_of

decode = decoder_for(CommandMatched)
INSERT = """
INSERT INTO trades VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 0, 0, %s, 0, 0, %s) ON CONFLICT DO NOTHING
"""


@pytest.fixture(scope="module")
def market() -> Market:
    rng, made = random.Random(5), Market()
    for step in range(1, 60):
        made.rest(Side.BUY, 3_000_000 - step, 30)
        made.rest(Side.SELL, 3_000_000 + step, 30)
    for _ in range(120):
        made.now_ms += rng.choice([1, 700, 20_000, 130_000])
        made.take(rng.choice([Side.BUY, Side.SELL]), rng.randint(1, 50), parts=rng.randint(1, 3))
        if rng.random() < 0.5:
            made.rest(Side.BUY, 2_999_999, 40)
            made.rest(Side.SELL, 3_000_001, 40)
    return made


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str, market: Market) -> str:
    migrate(postgres_dsn, MIGRATIONS)
    with psycopg.connect(postgres_dsn) as connection:
        for t in market.trades:
            row = (t.symbol, t.trade_id, t.sequence, t.price_ticks, t.quantity_lots, t.quote_minor)
            more = (t.taker_side.value, t.buyer_order_id, t.seller_order_id, t.occurred_at_ns)
            connection.execute(INSERT, (*row, *more))
    return postgres_dsn


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[AsyncConnectionPool]:
    async with AsyncConnectionPool(dsn, kwargs={"autocommit": True}, open=False) as made:
        yield made


def shown(market: Market, since_sequence: int) -> MarketView:
    """A server that started from the hot book: it holds only what came after."""
    view = MarketView(load_instruments())
    view["BTCUSDT"].depth.update_id = decode(market.records[since_sequence]).last_update_id - len(
        decode(market.records[since_sequence]).levels
    )
    for data in market.records[since_sequence:]:
        view["BTCUSDT"].apply(decode(data))
    return view


def all_trades(market: Market) -> list[Trade]:
    view = MarketView(load_instruments())["BTCUSDT"]
    return [trade for data in market.records for trade in view.apply(decode(data))[0]]


@pytest.mark.parametrize("held", [0, 40, 200])
async def test_trades_and_aggregates_are_the_same_wherever_they_are_kept(
    pool: AsyncConnectionPool, market: Market, held: int
) -> None:
    view: SymbolView = shown(market, len(market.records) - held)["BTCUSDT"] if held else empty()
    history, rng = TradeHistory(pool), random.Random(held)
    trades, rows = all_trades(market), aggregate(all_trades(market))
    assert await history.newest(view, 30) == trades[-30:]
    assert await history.newest_aggregates(view, 25) == rows[-25:]
    for _ in range(30):
        start, limit = rng.randint(1, len(trades)), rng.choice([1, 5, 1000])
        assert await history.from_id(view, start, limit) == trades[start - 1 :][:limit]
        expected = [row for row in rows if row.first_trade_id >= start]
        assert await history.aggregates_from(view, start, limit) == expected[:limit]
        before = [row for row in rows if row.first_trade_id <= start]
        assert await history.newest_aggregates(view, limit, start) == before[-limit:]
        at_ms = rng.randint(START_MS - 5, market.now_ms + 5)
        first = next((t.trade_id for t in trades if t.time_ms >= at_ms), len(trades) + 1)
        assert await history.first_id_at(view, at_ms) == first


def empty() -> SymbolView:
    return MarketView(load_instruments())["BTCUSDT"]


def published(market: Market) -> dict[tuple[str, int], Candle]:
    """Return the newest of each candle with trades, as the candle worker publishes them."""
    book, rows = CandleBook({}), {}
    for bar in bars_of(market.trades, random.Random(1)):
        work = book.apply(bar)
        candles = candles_to_publish(work, bar.last_at_ms, 0, caught_up=True)
        work.candles.published(candles)
        rows |= {(c.interval, c.open_time_ms): c for c in candles if c.trade_count}
    return rows


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("width_ms", [MINUTE_MS, 59 * MINUTE_MS, HOUR_MS, 4 * HOUR_MS, DAY_MS, 7 * DAY_MS])
async def test_a_rolling_window_says_what_its_trades_say(
    pool: AsyncConnectionPool, market: Market, width_ms: int, held: bool
) -> None:
    candles = published(market)
    view = empty()
    if held:
        for candle in candles.values():
            view.candles[candle.interval].put(candle)
            view.candles[candle.interval].complete_from = 0
    else:
        async with pool.connection() as connection:
            await candle_store.write(connection, list(candles.values()), {0: 50})
    windows, rng = RollingWindows(Klines(CandleHistory(pool))), random.Random(width_ms)
    for now_ms in [market.now_ms, *(rng.randint(market.now_ms, market.now_ms + 2 * width_ms) for _ in "123")]:
        opened = opened_before(now_ms, width_ms)
        found = await windows.since(view, opened, now_ms)
        expected = [t for t in market.trades if opened <= t.occurred_at_ns // 1_000_000 <= now_ms]
        assert now_ms - width_ms - MINUTE_MS < opened <= now_ms - width_ms
        assert (found.open_time_ms, found.close_time_ms, found.trade_count) == (opened, now_ms, len(expected))
        assert found.volume_lots == sum(t.quantity_lots for t in expected)
        assert found.quote_minor == sum(t.quote_minor for t in expected)
        if expected:
            assert (found.first_trade_id, found.last_trade_id) == (
                expected[0].trade_id,
                expected[-1].trade_id,
            )
            assert (found.open_ticks, found.last_ticks) == (expected[0].price_ticks, expected[-1].price_ticks)
            prices = [t.price_ticks for t in expected]
            assert (found.low_ticks, found.high_ticks) == (min(prices), max(prices))
        else:
            assert (found.open_ticks, found.first_trade_id) == (0, -1)


async def test_window_streams_tell_changed_symbols_alone(pool: AsyncConnectionPool, market: Market) -> None:
    view, hub, client = MarketView(load_instruments()), Hub(), Listener()
    for candle in published(market).values():
        view["BTCUSDT"].candles[candle.interval].put(candle)
    for symbol in view:
        for series in symbol.candles.values():
            series.complete_from = 0
    streams = WindowStreams(view, hub, RollingWindows(Klines(CandleHistory(pool))))
    await streams.tick(market.now_ms)
    for name in ("btcusdt@ticker_1h", "ethusdt@ticker_4h", "!ticker_1d@arr"):
        hub.subscribe(client, name)
    await streams.tick(market.now_ms)
    await streams.tick(market.now_ms)
    told = {message["stream"]: message["data"] for message in client.messages}
    assert len(client.messages) == 3
    hour = told["btcusdt@ticker_1h"]
    assert set(hour) == set("eEspPwcohlvqOCFLn")
    assert (hour["e"], hour["s"], hour["C"]) == ("1hTicker", "BTCUSDT", market.now_ms)
    assert hour["L"] == market.trades[-1].trade_id
    assert (told["ethusdt@ticker_4h"]["e"], told["ethusdt@ticker_4h"]["L"]) == ("4hTicker", -1)
    assert {row["s"] for row in told["!ticker_1d@arr"]} == set(view.symbols)
    await streams.tick(market.now_ms + 7 * DAY_MS)
    assert [message["data"]["n"] for message in client.messages[3:5]] == [0, 0]


async def test_days_of_the_east_are_told_as_they_change_and_once_when_over(
    pool: AsyncConnectionPool, market: Market
) -> None:
    view, hub, client = MarketView(load_instruments()), Hub(), Listener()
    for candle in published(market).values():
        view["BTCUSDT"].candles[candle.interval].put(candle)
    for symbol in view:
        for series in symbol.candles.values():
            series.complete_from = 0
    streams = ZonedStreams(view, hub, Klines(CandleHistory(pool)))
    hub.subscribe(client, "btcusdt@kline_1d@+08:00")
    now_ms = START_MS + 15 * HOUR_MS
    for at_ms in (now_ms, now_ms, START_MS + 16 * HOUR_MS + 1_000):
        await streams.tick(at_ms)
    assert [message["data"]["k"]["x"] for message in client.messages] == [False]
    first = client.messages[0]["data"]["k"]
    assert (first["t"], first["T"]) == (START_MS - 8 * HOUR_MS, START_MS + 16 * HOUR_MS - 1)
    assert first["L"] == market.trades[-1].trade_id
    for _ in range(2):
        await streams.tick(START_MS + 16 * HOUR_MS + 2_000)
    rest = [(m["data"]["k"]["t"], m["data"]["k"]["x"]) for m in client.messages[1:]]
    assert rest == [(START_MS - 8 * HOUR_MS, True), (START_MS + 16 * HOUR_MS, False)]


class Listener:
    combined = True
    microseconds = False

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def push(self, frame: bytes) -> None:
        self.messages.append(json.loads(frame[frame.index(b"{") :]))


def test_a_trading_day_begins_at_midnight_of_its_zone() -> None:
    noon = START_MS + 12 * HOUR_MS
    assert trading_day(noon, 0) == START_MS
    assert trading_day(noon, 8 * 60) == START_MS - 8 * HOUR_MS
    assert trading_day(noon, 13 * 60) == START_MS + 11 * HOUR_MS
    assert trading_day(noon, -5 * 60 - 30) == START_MS + 5 * HOUR_MS + 30 * MINUTE_MS


async def test_candles_written_in_batches_come_back_with_flat_ones_between(
    pool: AsyncConnectionPool, market: Market
) -> None:
    rows, now_ms = list(published(market).values()), market.now_ms + 10_000
    async with pool.connection() as connection:
        await candle_store.write(connection, rows, {0: 77})
        await candle_store.write(connection, rows[:5], {0: 60})
        assert await candle_store.positions(connection) == {0: 77}
    whole = empty()
    for candle in rows:
        whole.candles[candle.interval].put(candle)
        whole.candles[candle.interval].complete_from = 0
    klines, rng = Klines(CandleHistory(pool)), random.Random(2)
    for name in ("1s", "1m", "5m", "1h", "1M"):
        for _ in range(20):
            interval = whole.candles[name].interval
            start = rng.choice([None, rng.randint(START_MS - 9_000_000, now_ms)])
            end = rng.choice([None, rng.randint(START_MS, now_ms)])
            limit = rng.choice([1, 7, 1000])
            asked = (interval, start, end, limit, now_ms)
            assert figures(await klines.window(empty(), *asked)) == figures(
                await klines.window(whole, *asked)
            )


@pytest.mark.parametrize("minutes", [8 * 60, -5 * 60 - 30, 45])
@pytest.mark.parametrize("name", ["5m", "1h", "12h", "1d", "1w", "1M"])
async def test_candles_of_another_zone_hold_the_trades_of_its_periods(
    pool: AsyncConnectionPool, market: Market, name: str, minutes: int
) -> None:
    view = empty()
    for candle in published(market).values():
        view.candles[candle.interval].put(candle)
    for series in view.candles.values():
        series.complete_from = 0
    offset_ms, plain = minutes * MINUTE_MS, INTERVALS[name]
    interval = zoned(plain, offset_ms)
    rows = await Klines(CandleHistory(pool)).window(
        view, interval, START_MS - 40 * DAY_MS, None, 500, market.now_ms
    )
    expected: dict[int, list[int]] = {}
    for trade in market.trades:
        opened = plain.open_of(trade.occurred_at_ns // 1_000_000 + offset_ms) - offset_ms
        expected.setdefault(opened, []).append(trade.price_ticks)
    traded = {row.open_time_ms: row for row in rows if row.trade_count}
    assert {opened: len(prices) for opened, prices in expected.items()} == {
        opened: row.trade_count for opened, row in traded.items()
    }
    for opened, prices in expected.items():
        row = traded[opened]
        assert (row.open_ticks, row.close_ticks) == (prices[0], prices[-1])
        assert (row.low_ticks, row.high_ticks) == (min(prices), max(prices))
        assert row.close_time_ms + 1 == interval.next_open(opened)
    for row, after in itertools.pairwise(rows):
        assert row.close_time_ms + 1 == after.open_time_ms
    newest = await Klines(CandleHistory(pool)).window(view, interval, None, None, 1, market.now_ms)
    assert figures(newest) == figures(rows[-1:])


def figures(candles: list[Candle]) -> list[tuple[Any, ...]]:
    return [(c.open_time_ms, c.open_ticks, c.close_ticks, c.volume_lots, c.trade_count) for c in candles]


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("depth", "", 400, -1102),
        ("depth", "symbol=NOPE", 400, -1121),
        ("depth", "symbol=btcusdt", 400, -1100),
        ("depth", "symbol=BTCUSDT&limit=0", 400, -1130),
        ("depth", "symbol=BTCUSDT&limit=-1", 400, -1100),
        ("depth", "symbol=BTCUSDT&symbol=ETHUSDT", 400, -1101),
        ("depth", "symbol=BTCUSDT&what=1", 400, -1104),
        ("klines", "symbol=BTCUSDT", 400, -1102),
        ("klines", "symbol=BTCUSDT&interval=7m", 400, -1120),
        ("klines", "symbol=BTCUSDT&interval=1m&startTime=9&endTime=8", 400, -1128),
        ("klines", "symbol=BTCUSDT&interval=1m&startTime=99999999999999999", 400, -1130),
        ("klines", "symbol=BTCUSDT&interval=1d&timeZone=5", 200, None),
        ("klines", "symbol=BTCUSDT&interval=1d&timeZone=15", 400, -1130),
        ("klines", "symbol=BTCUSDT&interval=1d&timeZone=x", 400, -1100),
        ("klines", "symbol=BTCUSDT&interval=1m&timeZone=0", 200, None),
        ("aggTrades", "symbol=BTCUSDT&fromId=1&startTime=1", 400, -1128),
        ("ticker/24hr", "symbol=BTCUSDT&symbols=%5B%22ETHUSDT%22%5D", 400, -1128),
        ("ticker/24hr", "type=HUGE", 400, -1139),
        ("ticker/24hr", "symbols=%5B%22BTCUSDT%22,%22BTCUSDT%22%5D", 400, -1151),
        ("ticker/price", "symbol=BTCUSDT&symbolStatus=HALT", 400, -1220),
        ("ticker/price", "symbol=BTCUSDT&symbolStatus=WHAT", 400, -1122),
        ("ticker/price", "symbolStatus=HALT", 200, None),
        ("ticker/24hr", "symbol=SOLUSDT", 200, None),
        ("ticker", "", 400, -1102),
        ("ticker", "symbol=SOLUSDT", 200, None),
        ("ticker", "symbols=%5B%22SOLUSDT%22%5D&windowSize=7d&type=MINI", 200, None),
        ("ticker", "symbol=SOLUSDT&windowSize=8d", 400, -1130),
        ("ticker", "symbol=SOLUSDT&windowSize=60m", 400, -1130),
        ("ticker", "symbol=SOLUSDT&windowSize=x", 400, -1130),
        ("ticker", "symbol=SOLUSDT&type=HUGE", 400, -1139),
        ("ticker/tradingDay", "symbol=SOLUSDT&timeZone=%2B08:00", 200, None),
        ("ticker/tradingDay", "symbol=SOLUSDT&timeZone=15", 400, -1130),
        ("nothing", "", 404, -1020),
    ],
)
async def test_refusals(
    pool: AsyncConnectionPool, redis_url: str, path: str, query: str, status: int, code: int | None
) -> None:
    hot_book = AsyncHotBook(RedisSettings(url=redis_url.removesuffix("/0") + "/9"))
    rest = MarketRest(
        MarketView(load_instruments()),
        TradeHistory(pool),
        Klines(CandleHistory(pool)),
        hot_book,
        ManualClock(),
        0.1,
        lambda outcome: None,
    )
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": f"/api/v3/{path}", "query_string": query.encode()}
    await rest(scope, receive, send)
    await hot_book.close()
    body = json.loads(sent[1]["body"])
    assert (sent[0]["status"], body.get("code") if isinstance(body, dict) else None) == (status, code)
    assert code is None or set(body) == {"code", "msg"}
