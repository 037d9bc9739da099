"""The port through which services meet: a log of records by topic and partition.

Adapters: `kafka_log.KafkaEventLog` (real), `memory_log.MemoryEventLog` (tests, simulation).
`tests/contracts/test_event_log.py` holds both to what is said here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

END = -1
"""As a start offset: only what is written from now on."""


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as read. `timestamp_ms` is when the broker got it: data only."""

    topic: str
    partition: int
    offset: int
    value: bytes
    key: bytes | None = None
    timestamp_ms: int = 0

    @property
    def source(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


class AssignmentListener(Protocol):
    """Told, from within `poll`, which partitions this process works on."""

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the offset at which to start each partition; one is needed for every partition.

        May take its time (recovery happens here). Group offsets are never used as a position.
        """
        ...

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """The partitions may now have another owner; nothing more is handed out for them."""
        ...


class EventLog(Protocol):
    """One process's view of the log: a reader, an idempotent writer, and a way to look around.

    Every call is made from one thread.
    """

    def subscribe(self, topics: Sequence[str], group: str, listener: AssignmentListener) -> None:
        """Join a group and read the partitions it gives us. Once per log."""
        ...

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these partitions, from these offsets or END, with no group. Replaces the last call."""
        ...

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Return what is there, at most `max_records`; wait up to `timeout_s` for the first.

        Within a partition in offset order. Raises PositionLost when a position is out of the log.
        """
        ...

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Tell the group how far we are, without waiting: a hint for operators, never a position."""
        ...

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        """Hand a record to the writer. Order within a partition is the order of these calls."""
        ...

    def append_all(
        self, topic: str, partition: int, values: Iterable[bytes], key: bytes | None = None
    ) -> None:
        """Hand records to the writer that share topic, partition and key: `append` of each, but faster."""
        ...

    def flush(self) -> None:
        """Wait until every appended record is stored by all in-sync replicas.

        Raises DeliveryFailed when one was given up. Nothing expires: with the broker away it waits.
        """
        ...

    def offsets(self, source: TopicPartition) -> tuple[int, int]:
        """Return the first offset held and the next one to be written. Retries while the broker is away."""
        ...

    def read(self, source: TopicPartition, start: int, end: int) -> Iterator[list[Record]]:
        """Yield the records with start <= offset < end, in order, and stop. Raises PositionLost."""
        ...

    def lag(self) -> dict[TopicPartition, int]:
        """Return records not yet handed out, by partition being read (as last heard)."""
        ...

    def close(self) -> None:
        """Leave the group and release everything. Appended records that were not flushed may be lost."""
        ...
