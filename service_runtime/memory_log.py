"""EventLog in memory: one `MemoryBroker` is the broker, each `MemoryEventLog` one process's view.

For tests and simulation. Groups share partitions in order of joining; nothing is ever late.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from service_runtime.errors import LogFault, PositionLost
from service_runtime.event_log import END, AssignmentListener, Record, TopicPartition


class MemoryBroker:
    """Topics, their records and the groups that read them."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        self.records: dict[TopicPartition, list[Record]] = {
            TopicPartition(topic, p): [] for topic, count in partitions.items() for p in range(count)
        }
        self.first_offsets: dict[TopicPartition, int] = defaultdict(int)
        self.committed: dict[str, dict[TopicPartition, int]] = defaultdict(dict)
        self.members: dict[str, list[MemoryEventLog]] = defaultdict(list)

    def write(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> int:
        """Store one record and return its offset. Raises LogFault for an unknown partition."""
        source = TopicPartition(topic, partition)
        if source not in self.records:
            raise LogFault(f"unknown partition {topic}[{partition}]")
        offset = self.first_offsets[source] + len(self.records[source])
        self.records[source].append(Record(topic, partition, offset, value, key))
        return offset

    def truncate(self, source: TopicPartition, first_offset: int) -> None:
        """Forget the records before `first_offset`, as retention would."""
        drop = first_offset - self.first_offsets[source]
        del self.records[source][:drop]
        self.first_offsets[source] = first_offset

    def values(self, topic: str) -> list[bytes]:
        """Return every value of a topic, partition by partition."""
        return [
            r.value for source in sorted(self.records) if source.topic == topic for r in self.records[source]
        ]

    def rebalance(self, group: str) -> None:
        members = self.members[group]
        for member in members:
            member.revoke_all()
        for index, member in enumerate(members):
            shares = [s for s in sorted(self.records) if s.topic in member.topics]
            member.give([s for s in shares if s.partition % len(members) == index])


class MemoryEventLog:
    """See `event_log.EventLog`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.topics: tuple[str, ...] = ()
        self._group: str | None = None
        self._listener: AssignmentListener | None = None
        self._positions: dict[TopicPartition, int] = {}

    def subscribe(self, topics: Sequence[str], group: str, listener: AssignmentListener) -> None:
        self.topics, self._group, self._listener = tuple(topics), group, listener
        self.broker.members[group].append(self)
        self.broker.rebalance(group)

    def revoke_all(self) -> None:
        if self._positions and self._listener is not None:
            self._listener.on_revoked(sorted(self._positions))
        self._positions = {}

    def give(self, sources: Sequence[TopicPartition]) -> None:
        if self._listener is not None:
            starts = self._listener.on_assigned(sources)
            self.assign({s: starts[s] for s in sources})

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions = {}
        for source, offset in positions.items():
            low, high = self.offsets(source)
            start = high if offset == END else offset
            if not low <= start <= high:
                raise PositionLost(source.topic, source.partition, offset, f"{low} to {high}")
            self._positions[source] = start

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        batch: list[Record] = []
        for source, position in self._positions.items():
            first = self.broker.first_offsets[source]
            if position < first:
                raise PositionLost(source.topic, source.partition, position, f"{first} on")
            found = self.broker.records[source][position - first :][: max_records - len(batch)]
            batch += found
            self._positions[source] = position + len(found)
        return batch

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        if self._group is not None:
            self.broker.committed[self._group].update(next_offsets)

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        self.broker.write(topic, partition, value, key)

    def append_all(
        self, topic: str, partition: int, values: Iterable[bytes], key: bytes | None = None
    ) -> None:
        for value in values:
            self.append(topic, partition, value, key)

    def flush(self) -> None:
        """Everything appended is stored already."""

    def offsets(self, source: TopicPartition) -> tuple[int, int]:
        if source not in self.broker.records:
            raise LogFault(f"unknown partition {source.topic}[{source.partition}]")
        first = self.broker.first_offsets[source]
        return first, first + len(self.broker.records[source])

    def read(self, source: TopicPartition, start: int, end: int) -> Iterator[list[Record]]:
        first, _ = self.offsets(source)
        if start < first < end:
            raise PositionLost(source.topic, source.partition, start, f"{first} on")
        batch = self.broker.records[source][max(start - first, 0) : max(end - first, 0)]
        if batch:
            yield batch

    def lag(self) -> dict[TopicPartition, int]:
        return {s: self.offsets(s)[1] - position for s, position in self._positions.items()}

    def close(self) -> None:
        if self._group is not None and self in self.broker.members[self._group]:
            self.broker.members[self._group].remove(self)
            self._positions = {}
            self.broker.rebalance(self._group)
