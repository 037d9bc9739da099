"""Whether the database knows what was decided: one that was put back from a backup may not.

Positions move before decisions go out. So a decision in `validated-orders` of a request that the position has
not passed says that the database is older than the log; deciding such requests again could end otherwise than
the matcher was told.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from schemas.topics import ORDER_REQUESTS, VALIDATED_ORDERS, TopicMap
from service_runtime.errors import PositionLost
from service_runtime.event_log import EventLog, TopicPartition

_TAIL = 2_000
"""Of each partition. The last decision there is one that an older database does not know."""


class _Decision(msgspec.Struct, frozen=True, gc=False):
    event_id: str
    source_partition: int
    source_offset: int


_decode = msgspec.json.Decoder(_Decision).decode


def newest_decisions(log: EventLog, topics: TopicMap) -> dict[int, int]:
    """Return the last request of each partition of `order-requests` whose decision is found."""
    found: dict[int, int] = {}
    for partition in range(topics.topics[VALIDATED_ORDERS].partitions):
        source = TopicPartition(VALIDATED_ORDERS, partition)
        low, high = log.offsets(source)
        for batch in log.read(source, max(low, high - _TAIL), high):
            for record in batch:
                try:
                    seen = _decode(record.value)
                except msgspec.DecodeError:
                    continue
                if seen.event_id == f"v-{seen.source_partition}-{seen.source_offset}":
                    last = found.get(seen.source_partition, -1)
                    found[seen.source_partition] = max(last, seen.source_offset)
    return found


def check_known(log: EventLog, decided: Mapping[int, int], positions: Mapping[int, int]) -> None:
    """Raise PositionLost when a request that was decided is before us. `decided` was read first."""
    for partition, offset in sorted(decided.items()):
        position = positions.get(partition)
        if position is None or offset < position:
            continue
        if offset < log.offsets(TopicPartition(ORDER_REQUESTS, partition))[1]:  # else a forged one
            found = (
                f"decisions up to {offset} in {VALIDATED_ORDERS}: the database is older (tapehouse restore)"
            )
            raise PositionLost(ORDER_REQUESTS, partition, position, found)
