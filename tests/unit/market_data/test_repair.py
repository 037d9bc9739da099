from __future__ import annotations

import pytest

from market_data.bar_writer import BarWriter, resume
from market_data.candles.candle_book import CandleBook
from market_data.candles.repair import bars_between
from market_data.metrics import MarketMetrics
from schemas.codec import decoder_for, encode
from schemas.events import TradeBar
from schemas.topics import TRADE_BARS, TRADE_EXECUTION, load_topics
from service_runtime.clock import ManualClock
from service_runtime.errors import SequenceGap
from service_runtime.memory_log import MemoryBroker, MemoryEventLog
from tests.unit.market_data.builders import Market

decode = decoder_for(TradeBar)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker({name: topic.partitions for name, topic in load_topics().topics.items()})


def write_trades(broker: MemoryBroker, market: Market, since: int = 0) -> None:
    for trade in market.trades[since:]:
        broker.write(TRADE_EXECUTION, market.partition, encode(trade))


def writer(broker: MemoryBroker, clock: ManualClock) -> tuple[BarWriter, MemoryEventLog]:
    log = MemoryEventLog(broker)
    return BarWriter(log, load_topics(), clock, MarketMetrics(), 250), log


def bars(broker: MemoryBroker) -> list[TradeBar]:
    return [decode(value) for value in broker.values(TRADE_BARS)]


def test_bars_are_written_when_due_and_go_on_after_a_restart(broker: MemoryBroker) -> None:
    market, clock = Market(), ManualClock()
    for _ in range(3):
        market.trade(100, 1)
    write_trades(broker, market)
    first, log = writer(broker, clock)
    log.subscribe([TRADE_EXECUTION], "bars", first)
    first.step(0)
    assert bars(broker) == []
    clock.advance(0.25)
    first.step(0)
    assert [(bar.first_trade_id, bar.last_trade_id) for bar in bars(broker)] == [(1, 3)]
    log.close()
    market.trade(101, 1)
    write_trades(broker, market, 3)
    second, log = writer(broker, clock)
    log.subscribe([TRADE_EXECUTION], "bars", second)
    second.step(0)
    clock.advance(0.25)
    second.step(0)
    assert [(bar.first_trade_id, bar.last_trade_id) for bar in bars(broker)] == [(1, 3), (4, 4)]
    assert resume(MemoryEventLog(broker), market.partition).next_offset == 4


def test_poison_is_put_aside_and_the_next_trade_counts(broker: MemoryBroker) -> None:
    market, clock = Market(), ManualClock()
    market.trade(100, 1)
    broker.write(TRADE_EXECUTION, market.partition, b"not json")
    broker.write(TRADE_EXECUTION, 1, encode(market.trades[0]))
    write_trades(broker, market)
    maker, log = writer(broker, clock)
    log.subscribe([TRADE_EXECUTION], "bars", maker)
    maker.step(0)
    clock.advance(1)
    maker.step(0)
    assert len(bars(broker)) == 1
    assert len(broker.values("dead-letters")) == 2


def test_bars_of_two_writers_at_once_are_made_to_follow(broker: MemoryBroker) -> None:
    """One cut 1-2, 3-5, the other 1-3, 4-5: whichever the candles took first, the rest is made anew."""
    market = Market()
    for price in (10, 11, 12, 13, 14):
        market.trade(price, 1)
    write_trades(broker, market)
    log = MemoryEventLog(broker)

    def cut(after: int, last: int) -> list[TradeBar]:
        return bars_between(log, market.partition, market.symbol, after, after, last)

    book = CandleBook({})
    for bar in [*cut(0, 2), *cut(0, 3), *cut(3, 5), *cut(2, 5)]:
        missing = book.missing_before(bar)
        following = [bar] if missing is None else bars_between(log, market.partition, bar.symbol, *missing)
        for each in following:
            book.apply(each)
    minute = book.work(market.symbol).candles.state.series["1m"][0]
    assert (minute.trade_count, minute.volume_lots, minute.first_trade_id, minute.last_trade_id) == (
        5,
        5,
        1,
        5,
    )
    assert (minute.open_ticks, minute.high_ticks, minute.low_ticks, minute.close_ticks) == (10, 14, 10, 14)


def test_a_trade_that_is_nowhere_is_a_fault(broker: MemoryBroker) -> None:
    market = Market()
    market.trade(10, 1)
    write_trades(broker, market)
    with pytest.raises(SequenceGap):
        bars_between(MemoryEventLog(broker), market.partition, market.symbol, 0, 0, 2)
