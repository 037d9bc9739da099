"""Holds the hot book in Redis against the book rebuilt from `matched-events` (I6)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import redis

from schemas.codec import InvalidMessage, decoder_for, record_hash
from schemas.events import CommandMatched
from schemas.hot_book import OpenOrder, key
from schemas.orders import Side
from schemas.topics import MATCHED_EVENTS, TopicMap
from service_runtime.event_log import EventLog, TopicPartition
from service_runtime.settings import RedisSettings
from tapehouse.audit.difference import differs
from tapehouse.audit.rebuilt_book import RebuiltBook

_PARTS = ("stamp", "bid_lots", "ask_lots", "orders")
_PAUSE_S = 0.05
_matched = decoder_for(CommandMatched)
_order = msgspec.json.Decoder(OpenOrder).decode


def check_hot_book(
    settings: RedisSettings, log: EventLog, topics: TopicMap, book: RebuiltBook, start: int, wait_s: float
) -> str | None:
    """Compare one symbol at the sequence that Redis is stamped with; `book` is moved on to it.

    `start` is the offset that the book was scanned to. Returns None when they are equal, else why they
    could not be compared. Raises Difference.
    """
    client = redis.Redis.from_url(settings.url, socket_timeout=settings.timeout_ms / 1000)
    source = TopicPartition(MATCHED_EVENTS, topics.symbols[book.symbol])
    try:
        hot = _read_until(client, book, wait_s)
    except (redis.RedisError, OSError) as error:
        return f"Redis is away: {error}"
    finally:
        client.close()
    if hot is None:
        return "no hot book" if book.sequence else None
    stamp, bids, asks, orders = hot
    sequence = int(stamp[b"sequence"])
    _move_on(log, source, start, book, sequence, wait_s)
    where = f"Redis {book.symbol} at sequence {sequence}"
    if book.sequence != sequence:
        differs("I6", f"{where}: matched-events ends at {book.sequence}")
    if stamp[b"hash"].decode() != book.last_hash:
        differs("I6", f"{where}: its hash {stamp[b'hash'].decode()} is not the log's {book.last_hash}")
    for side, found in ((Side.BUY, bids), (Side.SELL, asks)):
        levels = {int(price): int(lots) for price, lots in found.items()}
        if levels != book.levels[side]:
            price = min(
                p
                for p in levels.keys() | book.levels[side].keys()
                if levels.get(p) != book.levels[side].get(p)
            )
            differs(
                "I6",
                f"{where}: {side} level {price} has {levels.get(price, 0)} lots,"
                f" matched-events says {book.levels[side].get(price, 0)}",
            )
    _compare_orders(where, book, orders)
    return None


def _compare_orders(where: str, book: RebuiltBook, orders: dict[bytes, bytes]) -> None:
    shown = {order.order_id: order for order in map(_order, orders.values())}
    for order_id, order in sorted(book.orders.items()):
        hot = shown.get(order_id)
        if hot is None or hot.account_id != order.account_id:
            differs("I6", f"{where}: order {order_id} is {hot}, matched-events says it is open")
        elif order.resting and (hot.price_ticks, hot.leaves_lots) != (order.price, order.leaves):
            differs("I6", f"{where}: order {order_id} is {hot}, matched-events says {order.leaves} lots left")
    for order_id, hot in sorted(shown.items()):
        if order_id not in book.orders and not hot.pending:
            differs("I6", f"{where}: order {order_id} is shown as open, matched-events says it is not")


def _read_until(client: redis.Redis, book: RebuiltBook, wait_s: float) -> tuple[Any, ...] | None:
    """Read the symbol's keys in one transaction, once its stamp has come to where the book is."""
    deadline = time.monotonic() + wait_s
    while True:
        pipeline = client.pipeline(transaction=True)
        for part in _PARTS:
            pipeline.hgetall(key(book.symbol, part))
        found = tuple(pipeline.execute())
        if not found[0]:
            return None
        if int(found[0][b"sequence"]) >= book.sequence or time.monotonic() > deadline:
            return found
        time.sleep(_PAUSE_S)


def _move_on(
    log: EventLog, source: TopicPartition, start: int, book: RebuiltBook, sequence: int, wait_s: float
) -> None:
    """Read on to `sequence`. The matcher writes the hot book while its records are being stored, so the
    last of them may come a moment later."""
    deadline = time.monotonic() + wait_s
    while book.sequence < sequence:
        end = log.offsets(source)[1]
        for record in _records(log, source, start, end):
            try:
                event = _matched(record.value)
            except InvalidMessage:
                continue
            if event.symbol == book.symbol and event.sequence == book.sequence + 1:
                book.apply(
                    event, record_hash(record.value), f"{source.topic}[{source.partition}] {record.offset}"
                )
                if book.sequence == sequence:
                    return
        start = end
        if time.monotonic() > deadline:
            return
        time.sleep(_PAUSE_S)


def _records(log: EventLog, source: TopicPartition, start: int, end: int) -> Iterator[Any]:
    for batch in log.read(source, start, end):
        yield from batch
