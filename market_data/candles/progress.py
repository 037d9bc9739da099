"""How far the workers are in `trade-bars`, and how far it goes."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, TopicPartition

from schemas.topics import TRADE_BARS
from service_runtime.kafka_log import common_config
from service_runtime.settings import KafkaSettings

TIMEOUT_S = 5.0


class BarProgress:
    """Looks at the group's offsets and the topic's ends without joining the group. Blocking."""

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._consumer = Consumer(
            common_config(settings, f"{group}-progress") | {"group.id": group, "enable.auto.commit": False}
        )

    def committed(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the group's next offset of each partition; the first one held where there is none."""
        asked = [TopicPartition(TRADE_BARS, partition) for partition in partitions]
        return {
            found.partition: found.offset if found.offset >= 0 else self._watermarks(found.partition)[0]
            for found in self._consumer.committed(asked, timeout=TIMEOUT_S)
        }

    def ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset that the next bar of each partition will have."""
        return {partition: self._watermarks(partition)[1] for partition in partitions}

    def _watermarks(self, partition: int) -> tuple[int, int]:
        found = self._consumer.get_watermark_offsets(TopicPartition(TRADE_BARS, partition), timeout=TIMEOUT_S)
        return found[0], found[1]

    def close(self) -> None:
        self._consumer.close()
