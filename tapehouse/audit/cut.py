"""One consistent view of Postgres, and how far into each topic it reaches.

Everything in the database follows from the records before its positions, so a snapshot of it can be
compared with the log exactly, while the exchange goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import psycopg

from schemas.topics import ACCOUNT_EVENTS, MATCHED_EVENTS, ORDER_REQUESTS, TRADE_EXECUTION, TopicMap
from service_runtime.event_log import EventLog, TopicPartition
from tapehouse.audit.difference import NotSettled

RECORDER_TOPICS = (ACCOUNT_EVENTS, MATCHED_EVENTS, TRADE_EXECUTION)
_PAUSE_S = 0.1
_POSITIONS = "SELECT service, topic, partition, next_offset, last_batch FROM positions"
_decode_batch = msgspec.msgpack.Decoder(list[tuple[str, int, bytes | None, bytes]]).decode


@dataclass(frozen=True)
class Cut:
    """The snapshot's transaction, and the offsets it includes."""

    connection: psycopg.Connection
    recorded: dict[TopicPartition, int]
    """How far the recorder had come, by topic and partition."""
    requested: dict[int, int]
    """How far the processor had come, by partition of order-requests."""
    unsent: list[tuple[str, bytes]]
    """(topic, value) of what the processor's last batches emit, which may not be in the log yet."""
    trade_ids: dict[str, int]

    def reached(self, topic: str, partition: int) -> int:
        return self.recorded.get(TopicPartition(topic, partition), 0)


def wait_until_settled(
    connect: Callable[[], psycopg.Connection], log: EventLog, topics: TopicMap, wait_s: float
) -> None:
    """Wait until processor and recorder have come to where the log ends now. Raises NotSettled."""
    ends = {
        TopicPartition(topic, p): log.offsets(TopicPartition(topic, p))[1]
        for topic in (ORDER_REQUESTS, *RECORDER_TOPICS)
        for p in range(topics.topics[topic].partitions)
    }
    deadline = time.monotonic() + wait_s
    with connect() as connection:
        while True:
            rows = connection.execute("SELECT topic, partition, next_offset FROM positions").fetchall()
            connection.rollback()
            found = {TopicPartition(topic, partition): offset for topic, partition, offset in rows}
            behind = {s: end for s, end in ends.items() if found.get(s, 0) < end}
            if not behind:
                return
            if time.monotonic() > deadline:
                source, end = next(iter(sorted(behind.items())))
                raise NotSettled(
                    f"{source.topic}[{source.partition}] is handled up to {found.get(source, 0)},"
                    f" the log ends at {end}: is the service running?"
                )
            time.sleep(_PAUSE_S)


@contextmanager
def cut(connect: Callable[[], psycopg.Connection]) -> Iterator[Cut]:
    """Take the snapshot; it is held until the context ends."""
    with connect() as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        recorded, requested, unsent = {}, {}, []
        for service, topic, partition, offset, batch in connection.execute(_POSITIONS).fetchall():
            if service == "recorder":
                recorded[TopicPartition(topic, partition)] = offset
            else:
                requested[partition] = offset
                unsent += [(sent[0], sent[3]) for sent in _decode_batch(batch)] if batch else []
        trade_ids: dict[str, int] = dict(
            connection.execute("SELECT symbol, trade_id FROM settled").fetchall()
        )
        yield Cut(connection, recorded, requested, unsent, trade_ids)
        connection.rollback()
