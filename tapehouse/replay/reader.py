"""The records of a replay, in order, each once, as rows."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from schemas.codec import InvalidMessage, NewerMessage, decoder_for
from schemas.instruments import Instruments
from schemas.topics import Topic
from service_runtime.event_log import EventLog, Record
from tapehouse.replay.columns import Column, Row, Shape, UnreadableRecord, message_types
from tapehouse.replay.duplicates import Duplicates
from tapehouse.replay.ranges import Range

EXAMPLES = 3


class TopicReader:
    """Counts as it goes: `read` records came, `unreadable` of them are no message of the topic."""

    def __init__(
        self,
        topic: Topic,
        instruments: Instruments,
        *,
        decimals: bool,
        symbol: str | None = None,
        checked: bool = False,
    ) -> None:
        messages = message_types(topic.messages)
        self._shape = Shape(messages, instruments, decimals=decimals)
        self._decode = decoder_for(*messages)
        self._duplicates = Duplicates(topic.name, checked=checked)
        self._symbol = symbol
        self.read = 0
        self.rows = 0
        self.unreadable = 0
        self.examples: list[str] = []
        """The first unreadable records: where they are and what is wrong."""

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._shape.columns

    @property
    def duplicates(self) -> int:
        return self._duplicates.dropped

    def rows_of(self, log: EventLog, ranges: Sequence[Range]) -> Iterator[Row]:
        """Yield the rows. Raises SequenceGap or ChainBroken where a checked log is not whole."""
        for record in in_order(log, ranges):
            self.read += 1
            row = self._row(record)
            if row is not None:
                self.rows += 1
                yield row

    def _row(self, record: Record) -> Row | None:
        try:
            message = self._decode(record.value)
            if self._symbol is not None and getattr(message, "symbol", None) != self._symbol:
                return None
            if not self._duplicates.is_first(record, message):
                return None
            return self._shape.row(record, message)
        except (InvalidMessage, NewerMessage, UnreadableRecord) as error:
            self.unreadable += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(f"{record.topic}[{record.partition}] offset {record.offset}: {error}")
            return None


def in_order(log: EventLog, ranges: Sequence[Range]) -> Iterator[Record]:
    """Merge the partitions by the broker's time, then partition; each keeps its own order."""
    parts = [_records(log, part) for part in ranges if part.size]
    return heapq.merge(*parts, key=lambda record: (record.timestamp_ms, record.partition))


def _records(log: EventLog, part: Range) -> Iterator[Record]:
    for batch in log.read(part.source, part.start, part.end):
        yield from batch
