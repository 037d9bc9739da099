"""Where the server starts: from a hot book that the log bears out, else from the log's beginning."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest
import redis

from market_data.feed import Feed
from market_data.start import Start, begin, hot_depth
from market_data.symbol_view import MarketView
from schemas.events import CommandMatched
from schemas.instruments import load_instruments
from schemas.orders import Side
from schemas.topics import MATCHED_EVENTS, load_topics
from service_runtime.book_change import BookChange
from service_runtime.event_log import TopicPartition
from service_runtime.hot_book import HotBook
from service_runtime.hot_book_reads import AsyncHotBook
from service_runtime.memory_log import MemoryBroker, MemoryEventLog
from service_runtime.sequence import MatchedSequence
from service_runtime.settings import RedisSettings
from tests.unit.market_data.builders import Market

SOURCE = TopicPartition(MATCHED_EVENTS, 0)


@pytest.fixture
def settings(redis_url: str) -> RedisSettings:
    url = redis_url.removesuffix("/0") + "/8"
    redis.Redis.from_url(url).flushdb()
    return RedisSettings(url=url)


@pytest.fixture
async def hot_book(settings: RedisSettings) -> AsyncIterator[AsyncHotBook]:
    client = AsyncHotBook(settings)
    yield client
    await client.close()


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker({name: topic.partitions for name, topic in load_topics().topics.items()})


def stamp(settings: RedisSettings, market: Market, record_hash: str | None = None) -> None:
    """Write the market's book as the matcher does."""
    levels = {(Side.BUY, price): lots for price, lots in market.bids.items()}
    levels |= {(Side.SELL, price): lots for price, lots in market.asks.items()}
    writer = HotBook(settings)
    writer.apply(
        [
            BookChange(
                symbol=market.symbol,
                first_sequence=1,
                sequence=market.sequence,
                record_hash=record_hash or market.last_hash,
                partition=market.partition,
                offset=market.sequence - 1,
                update_id=market.update_id,
                trade_id=market.trade_id,
                last_price_ticks=market.trades[-1].price_ticks,
                building="all",
                begins=True,
                ends=True,
                levels=levels,
            )
        ]
    )
    writer.close()


async def started(broker: MemoryBroker, hot_book: AsyncHotBook) -> tuple[MarketView, Start]:
    """Start and read to the end, as the server does."""
    log, topics, view = MemoryEventLog(broker), load_topics(), MarketView(load_instruments())
    hot = {symbol: await hot_depth(hot_book, symbol) for symbol in view.symbols}
    start = begin(log, topics, view, hot, {})
    feed = Feed(log, topics, MatchedSequence(start.sequences), 1_000)
    log.assign(start.positions)
    while records := log.poll(1_000, 0):
        for update in feed.read(records).updates:
            assert isinstance(update, CommandMatched)
            view[update.symbol].apply(update)
    return view, start


def write(broker: MemoryBroker, market: Market, since: int = 0) -> None:
    for data in market.records[since:]:
        broker.write(MATCHED_EVENTS, market.partition, data)


def busy_market(count: int = 120) -> Market:
    rng, market = random.Random(9), Market()
    for _ in range(count):
        market.random_command(rng)
    return market


async def test_start_from_the_hot_book_reads_only_what_follows(
    broker: MemoryBroker, hot_book: AsyncHotBook, settings: RedisSettings
) -> None:
    market = busy_market()
    stamp(settings, market)
    stamped = len(market.records)
    rng = random.Random(10)
    for _ in range(30):
        market.random_command(rng)
    write(broker, market)
    view, start = await started(broker, hot_book)
    assert start.positions[SOURCE] == stamped - 1
    depth = view["BTCUSDT"].depth
    assert (depth.update_id, depth.bids.lots, depth.asks.lots) == (market.update_id, market.bids, market.asks)
    assert view["BTCUSDT"].last_price_ticks == market.trades[-1].price_ticks


@pytest.mark.parametrize("flaw", ["other hash", "no such record", "no hot book"])
async def test_a_hot_book_the_log_does_not_bear_out_is_left_alone(
    broker: MemoryBroker, hot_book: AsyncHotBook, settings: RedisSettings, flaw: str
) -> None:
    market = busy_market()
    if flaw == "other hash":
        stamp(settings, market, "f" * 32)
    elif flaw == "no such record":
        stamp(settings, market)
        del market.records[-1]
        market = busy_market(119)
    write(broker, market)
    view, start = await started(broker, hot_book)
    assert start.positions[SOURCE] == 0
    depth = view["BTCUSDT"].depth
    assert (depth.update_id, depth.bids.lots, depth.asks.lots) == (market.update_id, market.bids, market.asks)
