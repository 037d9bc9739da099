"""EventLog on Apache Kafka, by confluent-kafka.

Crash-only: BufferError is the one error handled in place. Anything else that may have lost or
doubled a record raises, and the process ends (RELIABILITY rules R1 to R5).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
)
from confluent_kafka import TopicPartition as KafkaTopicPartition

from service_runtime.errors import DeliveryFailed, LogFault, PositionLost
from service_runtime.event_log import END, AssignmentListener, Record, TopicPartition
from service_runtime.settings import KafkaSettings

_log = structlog.get_logger("kafka_log")
_READ_BATCH = 5_000
_LOOK_TIMEOUT_S = 5.0
_GATHER_BYTES = 262_144
_STEP = 1_000
_BATCH_BYTES = 8_388_608
"""A batch ends with the step that reaches it."""
_TRANSIENT = {
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._RESOLVE,
    KafkaError._MAX_POLL_EXCEEDED,
    KafkaError._WAIT_COORD,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REQUEST_TIMED_OUT,
}


def common_config(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Return what producers, consumers and admin clients of ours share."""
    return {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": client_id,
        "topic.metadata.refresh.interval.ms": 60_000,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "allow.auto.create.topics": False,
        **settings.extra,
    }


def producer_config(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Rule R1: idempotent, acks from all, and no message ever expires."""
    return common_config(settings, client_id) | {
        "enable.idempotence": True,
        "acks": "all",
        "message.timeout.ms": 0,
        "linger.ms": 0,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 1_048_576,
        "message.max.bytes": 67_108_864,
        "delivery.report.only.error": True,
    }


def consumer_config(settings: KafkaSettings, client_id: str, gather_ms: int = 0) -> dict[str, Any]:
    """Rule R4: no auto commit, and an unknown position is an error, never a guess."""
    waits = {"fetch.min.bytes": _GATHER_BYTES, "fetch.wait.max.ms": gather_ms} if gather_ms else {}
    return common_config(settings, client_id) | {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 500,
        "fetch.message.max.bytes": 8_388_608,
        "queued.max.messages.kbytes": 65_536,
        **waits,
    }


class KafkaEventLog:
    """See `event_log.EventLog`. Clients are made when first needed.

    Membership is static (`group.instance.id` = client id): a process that was killed and restarted
    takes its partitions back at once, and fences the one it replaces.

    With `gather_ms` the broker holds a read back until there is much to send, or for so long: for
    readers that follow rather than lead, it makes few large batches of many small ones.
    """

    def __init__(self, settings: KafkaSettings, client_id: str, gather_ms: int = 0) -> None:
        self._settings = settings
        self._client_id = client_id
        self._gather_ms = gather_ms
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self._looker: Consumer | None = None
        self._failed: KafkaError | None = None
        self._listener_error: BaseException | None = None
        self._group: str | None = None
        self._starts: dict[TopicPartition, int] = {}

    def __enter__(self) -> KafkaEventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading --------------------------------------------------------------------------------

    def subscribe(self, topics: Sequence[str], group: str, listener: AssignmentListener) -> None:
        self.warm_up()
        session_ms = self._settings.session_timeout_ms
        self._group = group
        self._consumer = Consumer(
            consumer_config(self._settings, self._client_id, self._gather_ms)
            | {
                "group.id": group,
                "group.instance.id": self._client_id,
                "session.timeout.ms": session_ms,
                "heartbeat.interval.ms": max(session_ms // 6, 100),
                "max.poll.interval.ms": 300_000,
                "partition.assignment.strategy": "range",
            }
        )

        def assigned(consumer: Consumer, partitions: list[KafkaTopicPartition]) -> None:
            sources = sorted(TopicPartition(p.topic, p.partition) for p in partitions)
            try:
                starts = listener.on_assigned(sources)
                self._starts = {s: self._checked_position(s, starts[s]) for s in sources}
            except BaseException as error:  # an exception must not unwind through librdkafka
                self._listener_error = error
                consumer.assign([])
                return
            _log.info("partitions assigned", group=group, partitions=[f"{t}[{p}]" for t, p in sources])
            consumer.assign([KafkaTopicPartition(s.topic, s.partition, o) for s, o in self._starts.items()])

        def revoked(_: Consumer, partitions: list[KafkaTopicPartition]) -> None:
            sources = sorted(TopicPartition(p.topic, p.partition) for p in partitions)
            try:
                listener.on_revoked(sources)
            except BaseException as error:
                self._listener_error = error

        self._consumer.subscribe(list(topics), on_assign=assigned, on_revoke=revoked, on_lost=revoked)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._starts = {s: self._checked_position(s, offset) for s, offset in positions.items()}
        if self._consumer is None:
            self._consumer = Consumer(
                consumer_config(self._settings, self._client_id, self._gather_ms)
                | {"group.id": f"{self._client_id}-assigned"}
            )
        self._consumer.assign(
            [KafkaTopicPartition(s.topic, s.partition, offset) for s, offset in self._starts.items()]
        )

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        consumer = self._reader()
        first = consumer.poll(timeout_s)
        self._raise_listener_error()
        if first is None:
            return []
        records: list[Record] = []
        size = self._take([first], records)
        # poll() for the first and consume(n, 0) for the rest: consume() alone waits its whole time-out
        while len(records) < max_records and size < _BATCH_BYTES:
            wanted = min(_STEP, max_records - len(records))
            messages = consumer.consume(wanted, 0)
            self._raise_listener_error()
            size += self._take(messages, records)
            if len(messages) < wanted:
                break
        return records

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        if self._group is None or not next_offsets:
            return
        offsets = [KafkaTopicPartition(s.topic, s.partition, offset) for s, offset in next_offsets.items()]
        try:
            self._reader().commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            _log.debug("offset hint not taken", error=str(error))

    def lag(self) -> dict[TopicPartition, int]:
        if self._consumer is None:
            return {}
        lags = {}
        for partition in self._consumer.position(self._consumer.assignment()):
            source = TopicPartition(partition.topic, partition.partition)
            try:
                _, high = self._consumer.get_watermark_offsets(partition, cached=True)
            except KafkaException:
                continue
            # nothing read yet: the position is where we were told to start
            position = partition.offset if partition.offset >= 0 else self._starts.get(source, 0)
            if high >= 0:
                lags[source] = max(high - position, 0)
        return lags

    # -- writing --------------------------------------------------------------------------------

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        producer = self._producer or self._writer()
        while True:
            try:
                if headers:
                    producer.produce(topic, value, key, partition, headers=list(headers))
                else:
                    producer.produce(topic, value, key, partition)
                break
            except BufferError:
                producer.poll(0.05)
                self._raise_if_failed()

    def append_all(
        self, topic: str, partition: int, values: Iterable[bytes], key: bytes | None = None
    ) -> None:
        produce = (self._producer or self._writer()).produce
        for value in values:
            try:
                produce(topic, value, key, partition)
            except BufferError:
                self.append(topic, partition, value, key)

    def flush(self) -> None:
        producer = self._producer
        if producer is None:
            return
        while producer.flush(0.5) > 0:
            self._raise_if_failed()
        self._raise_if_failed()

    def warm_up(self) -> None:
        """Make the writer now: the first record would otherwise wait some 400 ms for a producer id."""
        if self._producer is None:
            self._writer()

    def serve_delivery(self) -> None:
        """Let delivery failures come up without waiting. Raises DeliveryFailed."""
        if self._producer is not None:
            self._producer.poll(0)
            self._raise_if_failed()

    @property
    def undelivered(self) -> int:
        """Records handed to the writer and not yet stored."""
        return 0 if self._producer is None else len(self._producer)

    # -- looking --------------------------------------------------------------------------------

    def offsets(self, source: TopicPartition) -> tuple[int, int]:
        partition = KafkaTopicPartition(source.topic, source.partition)
        while True:
            try:
                low, high = self._looking().get_watermark_offsets(partition, timeout=_LOOK_TIMEOUT_S)
                return low, high
            except KafkaException as error:
                if error.args[0].code() not in _TRANSIENT:
                    raise LogFault(f"{source.topic}[{source.partition}]: {error.args[0].str()}") from error
                _log.warning("log not reachable, trying again", error=error.args[0].str())
                time.sleep(0.2)

    def read(self, source: TopicPartition, start: int, end: int) -> Iterator[list[Record]]:
        if start >= end:
            return
        self._checked_position(source, start)
        consumer = Consumer(
            consumer_config(self._settings, f"{self._client_id}-read")
            | {"group.id": f"{self._client_id}-read", "enable.partition.eof": True}
        )
        try:
            consumer.assign([KafkaTopicPartition(source.topic, source.partition, start)])
            yield from self._read_until(consumer, source, end)
        finally:
            consumer.close()

    def _read_until(self, consumer: Consumer, source: TopicPartition, end: int) -> Iterator[list[Record]]:
        while True:
            first = consumer.poll(1.0)
            if first is None:
                continue
            batch, done = [], False
            message: Any
            for message in [first, *consumer.consume(_READ_BATCH, 0)]:
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    done = message.offset() >= end or done
                    continue
                if self._is_transient(message):
                    continue
                record = _record(message)
                if record.offset < end:
                    batch.append(record)
                done = done or record.offset >= end - 1
            if batch:
                yield batch
            if done:
                return

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(2.0)
        for consumer in (self._consumer, self._looker):
            if consumer is not None:
                consumer.close()
        self._consumer = self._looker = self._producer = None

    # -- inside ---------------------------------------------------------------------------------

    def _reader(self) -> Consumer:
        if self._consumer is None:
            raise LogFault("poll before subscribe or assign")
        return self._consumer

    def _writer(self) -> Producer:
        def failed(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self._failed = error
                _log.error("record not delivered", topic=message.topic(), error=error.str())

        def client_error(error: KafkaError) -> None:
            if error.fatal():
                self._failed = error
            _log.warning("kafka", error=error.str(), code=error.name())

        self._producer = Producer(
            producer_config(self._settings, self._client_id)
            | {"on_delivery": failed, "error_cb": client_error}
        )
        return self._producer

    def _looking(self) -> Consumer:
        if self._looker is None:
            self._looker = Consumer(
                consumer_config(self._settings, f"{self._client_id}-look")
                | {"group.id": f"{self._client_id}-look"}
            )
        return self._looker

    def _checked_position(self, source: TopicPartition, offset: int) -> int:
        low, high = self.offsets(source)
        if offset == END:
            return high
        if not low <= offset <= high:
            raise PositionLost(source.topic, source.partition, offset, f"{low} to {high}")
        return offset

    def _raise_if_failed(self) -> None:
        if self._failed is not None:
            raise DeliveryFailed(f"a record was not stored: {self._failed.str()}")

    def _raise_listener_error(self) -> None:
        if self._listener_error is not None:
            error, self._listener_error = self._listener_error, None
            raise error

    def _take(self, messages: Iterable[Any], records: list[Record]) -> int:
        """Append what are records; return the bytes in their values."""
        size = 0
        for message in messages:
            if message.error() is None or not self._is_transient(message):
                value = message.value() or b""
                size += len(value)
                records.append(
                    Record(
                        message.topic(),
                        message.partition(),
                        message.offset(),
                        value,
                        message.key(),
                        message.timestamp()[1],
                    )
                )
        return size

    def _is_transient(self, message: Any) -> bool:
        """Return True for an event that is no record and will pass; raise for one that will not."""
        error = message.error()
        if error is None:
            return False
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            low, high = self.offsets(TopicPartition(message.topic(), message.partition()))
            raise PositionLost(message.topic(), message.partition(), message.offset(), f"{low} to {high}")
        if error.code() in _TRANSIENT and not error.fatal():
            _log.warning("kafka", error=error.str(), code=error.name())
            return True
        raise LogFault(f"kafka: {error.str()}")


def _record(message: Any) -> Record:
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.value() or b"",
        message.key(),
        message.timestamp()[1],
    )
