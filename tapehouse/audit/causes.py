"""I8: nothing is invented. Every record names what it follows from, and that is in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from schemas.topics import (
    DEAD_LETTERS,
    MATCHED_EVENTS,
    ORDER_REPLIES,
    ORDER_REQUESTS,
    TRADE_BARS,
    TRADE_EXECUTION,
    VALIDATED_ORDERS,
    TopicMap,
)
from service_runtime.event_log import EventLog, Record, TopicPartition
from tapehouse.audit.difference import differs

_TOPICS = (
    DEAD_LETTERS,
    TRADE_BARS,
    ORDER_REPLIES,
    TRADE_EXECUTION,
    MATCHED_EVENTS,
    VALIDATED_ORDERS,
    ORDER_REQUESTS,
)
"""Effects before their causes: in this order it is noted where they end."""


class _Seen(msgspec.Struct, frozen=True, gc=False):
    """What any record may say of itself and of what it follows from."""

    type: str = ""
    event_id: str = ""
    causation_id: str = ""
    symbol: str = ""
    sequence: int = 0
    trade_id: int = 0
    last_trade_id: int = 0
    input_partition: int = -1
    input_offset: int = -1
    source_topic: str = ""
    source_partition: int = -1
    source_offset: int = -1


_decode = msgspec.json.Decoder(_Seen).decode


def check_causes(log: EventLog, topics: TopicMap, progress: Callable[[int], None] = lambda _: None) -> str:
    """Return what was checked. Raises Difference."""
    return _Causes(log, topics, progress).run()


class _Causes:
    def __init__(self, log: EventLog, topics: TopicMap, progress: Callable[[int], None]) -> None:
        self._event_log = log
        self._topics = topics
        self._progress = progress
        self._ends = {
            source: log.offsets(source)
            for topic in _TOPICS
            for source in (TopicPartition(topic, p) for p in range(topics.topics[topic].partitions))
        }
        self._requests: dict[tuple[int, int], str] = {}
        self._commands: dict[tuple[int, int], str] = {}
        self._sequences: dict[str, int] = {}
        self._trades: dict[str, int] = {}
        self._checked = 0

    def run(self) -> str:
        for record, seen in self._read(ORDER_REQUESTS):
            self._requests[record.partition, record.offset] = seen.event_id
        for record, seen in self._read(VALIDATED_ORDERS):
            if self._topics.symbols.get(seen.symbol) == record.partition:
                self._follows(record, seen, self._requests.get((seen.source_partition, seen.source_offset)))
                self._commands[record.partition, record.offset] = seen.event_id
        for record, seen in self._read(MATCHED_EVENTS):
            if self._topics.symbols.get(seen.symbol) == record.partition:
                self._follows(record, seen, self._commands.get((seen.input_partition, seen.input_offset)))
                self._sequences[seen.symbol] = max(seen.sequence, self._sequences.get(seen.symbol, 0))
        self._check_trades()
        self._check_what_was_told()
        return f"{self._checked} records follow from one that is there"

    def _check_trades(self) -> None:
        for record, seen in self._read(TRADE_EXECUTION):
            if self._topics.symbols.get(seen.symbol) == record.partition:
                self._follows(record, seen, self._matched(seen))
                self._trades[seen.symbol] = max(seen.trade_id, self._trades.get(seen.symbol, 0))

    def _check_what_was_told(self) -> None:
        for record, seen in self._read(ORDER_REPLIES):
            if seen.type == "RequestRejected.v1":
                self._follows(record, seen, self._requests.get((seen.source_partition, seen.source_offset)))
            elif seen.sequence > self._sequences.get(seen.symbol, 0):
                self._invented(record, seen)
        for record, seen in self._read(TRADE_BARS):
            if seen.last_trade_id > self._trades.get(seen.symbol, 0):
                self._invented(record, seen)
        for record, seen in self._read(DEAD_LETTERS):
            if seen.source_topic in self._topics.topics:
                source = TopicPartition(seen.source_topic, seen.source_partition)
                if seen.source_offset >= self._event_log.offsets(source)[1]:
                    self._invented(record, seen)

    def _matched(self, seen: _Seen) -> str | None:
        return (
            f"{seen.symbol}-{seen.sequence}" if seen.sequence <= self._sequences.get(seen.symbol, 0) else None
        )

    def _follows(self, record: Record, seen: _Seen, cause: str | None) -> None:
        if cause is None or cause != seen.causation_id:
            self._invented(record, seen)

    def _invented(self, record: Record, seen: _Seen) -> None:
        where = f"{record.topic}[{record.partition}] offset {record.offset}"
        differs("I8", f"{where}: {seen.event_id} follows from {seen.causation_id!r}, which is not there")

    def _read(self, topic: str) -> Iterator[tuple[Record, _Seen]]:
        """Yield the records that can be read; the others are poison, and nobody's effect."""
        for partition in range(self._topics.topics[topic].partitions):
            source = TopicPartition(topic, partition)
            low, high = self._ends[source]
            for batch in self._event_log.read(source, low, high) if low < high else ():
                self._progress(len(batch))
                for record in batch:
                    try:
                        seen = _decode(record.value)
                    except msgspec.DecodeError:
                        continue
                    self._checked += 1
                    yield record, seen
