"""The log as a reader that may only look: it ends where it is told to, and takes no records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from service_runtime.event_log import AssignmentListener, EventLog, Record, TopicPartition


class BoundedLog:
    """See `event_log.EventLog`. What is appended (dead letters, once more) goes nowhere."""

    def __init__(self, log: EventLog, ends: Mapping[TopicPartition, int]) -> None:
        self._event_log = log
        self.ends = dict(ends)

    def offsets(self, source: TopicPartition) -> tuple[int, int]:
        low, high = self._event_log.offsets(source)
        return low, min(high, self.ends.get(source, high))

    def read(self, source: TopicPartition, start: int, end: int) -> Iterator[list[Record]]:
        return self._event_log.read(source, start, min(end, self.ends.get(source, end)))

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        """Go nowhere."""

    def append_all(
        self, topic: str, partition: int, values: Iterable[bytes], key: bytes | None = None
    ) -> None:
        """Go nowhere."""

    def flush(self) -> None:
        """There is nothing to store."""

    def subscribe(self, topics: Sequence[str], group: str, listener: AssignmentListener) -> None:
        raise NotImplementedError("a bounded log is read by `read`")

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        raise NotImplementedError("a bounded log is read by `read`")

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        raise NotImplementedError("a bounded log is read by `read`")

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Nobody reads its offsets."""

    def lag(self) -> dict[TopicPartition, int]:
        return {}

    def close(self) -> None:
        """The log below is the caller's."""
