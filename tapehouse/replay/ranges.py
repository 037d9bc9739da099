"""Which offsets of which partitions a replay reads, as the broker has them now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from service_runtime.event_log import TopicPartition
from service_runtime.settings import KafkaSettings
from tapehouse.errors import USAGE, OperatorError
from tapehouse.replay.bounds import Bound

REQUEST_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Range:
    """start <= offset < end."""

    source: TopicPartition
    start: int
    end: int

    @property
    def size(self) -> int:
        return max(self.end - self.start, 0)


class ReplayFailed(OperatorError):
    """The broker cannot give what was asked for."""


def ranges_of(
    ends: Mapping[TopicPartition, tuple[int, int]],
    starts_at: Mapping[TopicPartition, int | None],
    stops_at: Mapping[TopicPartition, int | None],
) -> list[Range]:
    """Return one range a partition, within the offsets it holds (first, next)."""
    found = []
    for source in sorted(ends):
        low, high = ends[source]
        start, stop = starts_at.get(source), stops_at.get(source)
        first = low if start is None else min(max(start, low), high)
        found.append(Range(source, first, high if stop is None else max(min(stop, high), first)))
    return found


class Broker:
    """Answers where a topic begins and ends, and where a time is."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._servers = kafka.bootstrap_servers
        config: dict[str, Any] = {**kafka.extra, "bootstrap.servers": kafka.bootstrap_servers, "log_level": 0}
        self._admin = AdminClient(config)

    def ranges(self, topic: str, partition: int | None, start: Bound, end: Bound) -> list[Range]:
        """Return what to read of the topic, or of its one partition. Raises ReplayFailed."""
        sources = [s for s in self._partitions(topic) if partition is None or s.partition == partition]
        for option, bound in (("--from", start), ("--to", end)):
            unknown = {p for p, _ in bound.partition_offsets} - {s.partition for s in sources}
            if unknown:
                known = ", ".join(str(source.partition) for source in sources)
                message = f"{option} {min(unknown)}:...: no such partition; of {topic} are read {known}"
                raise ReplayFailed(message, exit_code=USAGE)
        lows = self._offsets(dict.fromkeys(sources, _spec("earliest")))
        highs = self._offsets(dict.fromkeys(sources, _spec("latest")))
        bounds = {source: (lows[source], highs[source]) for source in sources}
        return ranges_of(bounds, self._places(sources, start), self._places(sources, end))

    def _partitions(self, topic: str) -> list[TopicPartition]:
        try:
            metadata = self._admin.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic]
        except KafkaException as error:
            raise ReplayFailed(f"no broker answers at {self._servers}: {error.args[0].str()}") from error
        if metadata.error is not None:
            raise ReplayFailed(f"the broker has no topic {topic} (tapehouse topics apply creates it)")
        return [TopicPartition(topic, partition) for partition in sorted(metadata.partitions)]

    def _places(self, sources: Iterable[TopicPartition], bound: Bound) -> dict[TopicPartition, int | None]:
        if bound.time_ms is None:
            return {source: bound.offset_of(source.partition) for source in sources}
        found = self._offsets({source: OffsetSpec.for_timestamp(bound.time_ms) for source in sources})
        last = self._offsets(dict.fromkeys(found, _spec("latest")))
        return {source: last[source] if offset < 0 else offset for source, offset in found.items()}

    def _offsets(self, requests: Mapping[TopicPartition, Any]) -> dict[TopicPartition, int]:
        asked = {KafkaTopicPartition(s.topic, s.partition): spec for s, spec in requests.items()}
        futures = self._admin.list_offsets(asked, request_timeout=REQUEST_TIMEOUT_S)
        try:
            return {TopicPartition(p.topic, p.partition): f.result().offset for p, f in futures.items()}
        except KafkaException as error:
            raise ReplayFailed(f"cannot read the offsets: {error.args[0].str()}") from error


def _spec(name: str) -> Any:
    factory: Any = getattr(OffsetSpec, name)
    return factory()
