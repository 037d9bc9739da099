"""Where to start reading: from the hot book where the log bears it out, else from the beginning."""

from __future__ import annotations

from dataclasses import dataclass, field

import redis
import structlog

from market_data.symbol_view import MarketView
from schemas.codec import InvalidMessage, decoder_for, record_hash
from schemas.events import CommandMatched
from schemas.hot_book import key
from schemas.topics import CANDLES, MATCHED_EVENTS, TICKERS, TopicMap
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.hot_book_reads import AsyncHotBook
from service_runtime.sequence import MatchedPosition

_log = structlog.get_logger("start")
_decode = decoder_for(CommandMatched)
Levels = list[tuple[int, int]]


@dataclass(frozen=True)
class HotDepth:
    """One symbol's hot book, all of it as of one record."""

    offset: int
    sequence: int
    hash: str
    update_id: int
    last_price_ticks: int
    bids: Levels
    asks: Levels


@dataclass
class Start:
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    sequences: dict[str, MatchedPosition] = field(default_factory=dict)


async def hot_depth(hot_book: AsyncHotBook, symbol: str) -> HotDepth | None:
    """Read a symbol's levels and their stamp at one instant; None where there is no hot book."""
    pipeline = hot_book.redis.pipeline(transaction=True)
    for part in ("stamp", "bid_lots", "ask_lots"):
        pipeline.hgetall(key(symbol, part))
    try:
        stamp, bids, asks = await pipeline.execute()
        if not stamp:
            return None
        return HotDepth(
            offset=int(stamp[b"offset"]),
            sequence=int(stamp[b"sequence"]),
            hash=stamp[b"hash"].decode(),
            update_id=int(stamp[b"update_id"]),
            last_price_ticks=int(stamp.get(b"last_price_ticks", 0)),
            bids=[(int(price), int(lots)) for price, lots in bids.items()],
            asks=[(int(price), int(lots)) for price, lots in asks.items()],
        )
    except (redis.RedisError, OSError, KeyError, ValueError) as error:
        _log.warning("hot book not usable", symbol=symbol, error=str(error))
        return None


def begin(
    log: EventLog,
    topics: TopicMap,
    view: MarketView,
    hot: dict[str, HotDepth | None],
    stored_candles: dict[int, int],
) -> Start:
    """Load what the hot book vouches for into the view and return where to read each partition from."""
    start = Start()
    for partition in range(topics.topics[MATCHED_EVENTS].partitions):
        source = TopicPartition(MATCHED_EVENTS, partition)
        low, high = log.offsets(source)
        offsets = []
        for symbol in topics.symbols_of_partition(partition):
            depth = hot.get(symbol)
            offset = None if depth is None else _place_of(log, source, low, high, symbol, depth)
            if depth is None or offset is None:
                offsets.append(low)
                continue
            symbol_view = view[symbol]
            symbol_view.depth.load(depth.update_id, depth.bids, depth.asks)
            symbol_view.last_price_ticks = depth.last_price_ticks
            start.sequences[symbol] = MatchedPosition(depth.sequence, depth.hash)
            offsets.append(offset)
        start.positions[source] = min(offsets, default=high)
    for partition in range(topics.topics[CANDLES].partitions):
        source = TopicPartition(CANDLES, partition)
        low, high = log.offsets(source)
        start.positions[source] = min(max(stored_candles.get(partition, low), low), high)
    for partition in range(topics.topics[TICKERS].partitions):
        source = TopicPartition(TICKERS, partition)
        start.positions[source] = log.offsets(source)[0]
    return start


def _place_of(
    log: EventLog, source: TopicPartition, low: int, high: int, symbol: str, depth: HotDepth
) -> int | None:
    """Return the offset of the record the hot book was stamped with, None if it is not to be found.

    The stamp names the matcher's input; the output keeps the input's order, so halving finds it.
    """
    end = high
    while low < high:
        middle = (low + high) // 2
        found = _record_at(log, source, middle, end)
        if found is None or found[1].input_offset >= depth.offset:
            high = middle
        else:
            low = middle + 1
    found = _record_at(log, source, low, end)
    if found is None:
        return None
    record, event = found
    if (event.symbol, event.sequence) != (symbol, depth.sequence):
        return None
    return record.offset if record_hash(record.value) == depth.hash else None


def _record_at(
    log: EventLog, source: TopicPartition, offset: int, end: int
) -> tuple[Record, CommandMatched] | None:
    """Return the first readable record from `offset` on, None at the end."""
    for batch in log.read(source, offset, min(offset + 1, end)):
        for record in batch:
            try:
                return record, _decode(record.value)
            except InvalidMessage:
                return None
    return None
