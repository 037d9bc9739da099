"""Claims of partitions in the log: who writes a partition's output. The last one holds."""

from __future__ import annotations

from schemas.codec import InvalidMessage, NewerMessage, decoder_for, encode
from schemas.events import PartitionClaimed
from schemas.topics import MATCHER_CLAIMS
from service_runtime.clock import Clock
from service_runtime.event_log import EventLog, Record, TopicPartition

_decode = decoder_for(PartitionClaimed)
_TAIL = 16


class Claims:
    """Writes and reads the claims of one process."""

    def __init__(self, log: EventLog, clock: Clock, name: str, standby: bool) -> None:
        self._event_log = log
        self._clock = clock
        self._standby = standby
        self._holder = f"{name}-{clock.now_ns()}"
        self._made = 0

    def claim(self, partition: int) -> PartitionClaimed:
        """Hand the log a claim of ours, and return it; it holds once it is stored."""
        self._made += 1
        name = f"{self._holder}-{self._made}"
        claim = PartitionClaimed(
            event_id=name,
            correlation_id=name,
            causation_id=name,
            occurred_at_ns=self._clock.now_ns(),
            partition=partition,
            holder=self._holder,
            standby=self._standby,
        )
        self._event_log.append(MATCHER_CLAIMS, partition, encode(claim), str(partition).encode())
        return claim

    def last(self, partition: int) -> PartitionClaimed | None:
        """Return the last claim that is stored; None: there is none among the last records."""
        source = TopicPartition(MATCHER_CLAIMS, partition)
        low, end = self._event_log.offsets(source)
        found = None
        for batch in self._event_log.read(source, max(low, end - _TAIL), end):
            for record in batch:
                found = read(record) or found
        return found


def read(record: Record) -> PartitionClaimed | None:
    """Return what a record of the topic says; None for what is no claim."""
    try:
        return _decode(record.value)
    except (InvalidMessage, NewerMessage):
        return None
