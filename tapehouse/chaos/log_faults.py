"""Faults of the log: poison, repeated and late records, false snapshots, lost offsets, a log cut off."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any, Final

import msgspec
import redis.asyncio
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from schemas.topics import (
    ACCOUNT_EVENTS,
    BOOK_SNAPSHOTS,
    DEAD_LETTERS,
    MATCHED_EVENTS,
    ORDER_REQUESTS,
    TRADE_EXECUTION,
    VALIDATED_ORDERS,
)
from service_runtime.errors import PositionLost
from service_runtime.event_log import Record, TopicPartition
from service_runtime.kafka_log import KafkaEventLog
from tapehouse.chaos.field import Field, Violation
from tapehouse.chaos.sightings import View

REPEATED: Final = 20
EMPTY_GROUP_S: Final = 30.0
MONEY_TOPICS: Final = (ORDER_REQUESTS, VALIDATED_ORDERS, MATCHED_EVENTS, TRADE_EXECUTION, ACCOUNT_EVENTS)


async def poison(field: Field) -> None:
    """Nobody may stop at a record that is none; each is buried with its source."""
    log = _log(field)
    with closing(log):
        before = log.offsets(TopicPartition(DEAD_LETTERS, 0))[1]
        sent = await asyncio.to_thread(_send_poison, log)
        for view in View:
            field.struck("poison", view=view)
        await field.recovered()
        await _dead_letters(log, before, sent)
    field.notes.append(f"{sent} records")


def _send_poison(log: KafkaEventLog) -> int:
    real = _last(log, VALIDATED_ORDERS, 0, 1)
    bad = (b"", b"\x00\xff garbage", b'{"type": "NoSuchMessage.v1"}', b'{"type": "PlaceOrder.v1"}', b"[]")
    sent = 0
    for topic in MONEY_TOPICS:
        for value in (*bad, b"x" * 900_000):
            log.append(topic, sent % 4, value)
            sent += 1
    for record in real:  # of BTCUSDT, on the partition of another symbol
        log.append(VALIDATED_ORDERS, 3, record.value, record.key)
        sent += 1
    log.flush()
    return sent


async def _dead_letters(log: KafkaEventLog, before: int, wanted: int) -> None:
    deadline = time.monotonic() + 20
    while (found := log.offsets(TopicPartition(DEAD_LETTERS, 0))[1] - before) < wanted:
        if time.monotonic() > deadline:
            raise Violation(f"{wanted} poison records were sent, {found} dead letters were written")
        await asyncio.sleep(0.1)


async def repeat_records(field: Field) -> None:
    """Write the last records of every topic of money again, as a broken producer would."""
    log = _log(field)
    with closing(log):
        for topic in MONEY_TOPICS:
            await asyncio.to_thread(_write_again, log, topic, REPEATED)
            field.struck(f"repeated {topic}")
    field.struck("repeated records", view=View.TABLES)
    field.struck("repeated records", view=View.STREAM)
    await field.recovered()


def _write_again(log: KafkaEventLog, topic: str, count: int) -> None:
    for partition in range(4):
        for record in _last(log, topic, partition, count):
            log.append(topic, partition, record.value, record.key)
    log.flush()


async def disorder_records(field: Field) -> None:
    """Write records again from back to front, and records of long ago."""
    log = _log(field)
    with closing(log):
        for topic in (VALIDATED_ORDERS, MATCHED_EVENTS, TRADE_EXECUTION):
            await asyncio.to_thread(_write_back_to_front, log, topic)
        await asyncio.to_thread(_cancel_before_order, log)
    for view in View:
        field.struck("records out of order", view=view)
    await field.recovered()


def _write_back_to_front(log: KafkaEventLog, topic: str) -> None:
    for partition in range(4):
        source = TopicPartition(topic, partition)
        low, high = log.offsets(source)
        early = [r for batch in log.read(source, low, min(low + REPEATED, high)) for r in batch]
        late = _last(log, topic, partition, REPEATED)
        for record in reversed([*early, *late]):
            log.append(topic, partition, record.value, record.key)
    log.flush()


def _cancel_before_order(log: KafkaEventLog) -> None:
    """Cancels of orders that nobody has placed, made of real ones."""
    for partition in range(4):
        for record in _last(log, ORDER_REQUESTS, partition, 200):
            try:
                document = msgspec.json.decode(record.value)
            except msgspec.DecodeError:
                continue
            if isinstance(document, dict) and document.get("type") == "CancelOrder.v1":
                document |= {"orig_client_order_id": "never-placed", "event_id": f"chaos-{partition}"}
                document.pop("order_id", None)
                document.pop("reply_partition", None)
                log.append(ORDER_REQUESTS, partition, msgspec.json.encode(document), record.key)
                break
    log.flush()


# -- snapshots ----------------------------------------------------------------------------------


async def corrupt_snapshots(field: Field) -> None:
    """Damage what the matcher starts from, in the log and in Redis; then kill it, four times."""
    for damage in ("cut short", "changed", "of another symbol", "older"):
        log = _log(field)
        with closing(log):
            count = await asyncio.to_thread(_damage_log, log, damage)
        count += await _damage_redis(field, damage)
        field.notes.append(f"{damage}: {count}")
        await field.kill(field.one_of("matcher"))
        await field.recovered()


def _damage_log(log: KafkaEventLog, damage: str) -> int:
    newest: dict[bytes, Record] = {}
    oldest: dict[bytes, Record] = {}
    for partition in range(4):
        source = TopicPartition(BOOK_SNAPSHOTS, partition)
        for batch in log.read(source, *log.offsets(source)):
            for record in batch:
                if record.key:
                    newest[record.key] = record
                    oldest.setdefault(record.key, record)
    found = list(newest.items())
    for number, (name, record) in enumerate(found):
        other = found[(number + 1) % len(found)][1]
        value = oldest[name].value if damage == "older" else damaged(record.value, other.value, damage)
        log.append(BOOK_SNAPSHOTS, record.partition, value, name)
    log.flush()
    return len(found)


async def _damage_redis(field: Field, damage: str) -> int:
    client = redis.asyncio.Redis.from_url(field.arena.settings.redis.url, socket_timeout=5.0)
    try:
        names = [name async for name in client.scan_iter("hot:*:snapshot/*")]
        values: list[Any] = [await client.get(name) for name in names]
        for number, (name, value) in enumerate(zip(names, values, strict=True)):
            other = values[(number + 1) % len(values)]
            if value is not None and other is not None and damage != "older":
                await client.set(name, damaged(value, other, damage))
    finally:
        await client.aclose()
    return len(names)


def damaged(value: bytes, other: bytes, damage: str) -> bytes:
    """Return what stands in the place of a snapshot; `other` is one of another symbol."""
    if damage == "cut short":
        return value[: len(value) // 2]
    if damage == "of another symbol":
        return other
    middle = len(value) // 2
    return value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]


# -- positions ----------------------------------------------------------------------------------


async def lose_offsets(field: Field) -> None:
    """Delete a group's offsets, set them to the beginning, to the end: they are never a position."""
    service, topics = field.rng.choice(
        (
            ("matcher", (VALIDATED_ORDERS,)),
            ("processor", (ORDER_REQUESTS,)),
            ("recorder", (MATCHED_EVENTS, TRADE_EXECUTION, ACCOUNT_EVENTS)),
        )
    )
    for change in ("deleted", "to the beginning", "to the end"):
        field.notes.append(f"{service} {change}")
        names = field.instances(service)
        for name in names:
            old = field.arena.pids().get(name)
            await field.kill(name)
            await field.arena.fresh_pid(name, old)
            field.arena.signal(name, signal.SIGSTOP)
        try:
            await asyncio.to_thread(_change_offsets, field, service, topics, change)
        finally:
            for name in names:
                field.arena.signal(name, signal.SIGCONT)
        await field.recovered()


def _change_offsets(field: Field, group: str, topics: Iterable[str], change: str) -> None:
    """Wait until the group has no member, since only then its offsets can be changed."""
    admin = AdminClient(_client(field))
    log = _log(field)
    with closing(log):
        sources = [TopicPartition(topic, partition) for topic in topics for partition in range(4)]
        ends = {source: log.offsets(source) for source in sources}
    wanted = [
        KafkaTopicPartition(source.topic, source.partition, low if change == "to the beginning" else high)
        for source, (low, high) in ends.items()
    ]
    deadline = time.monotonic() + EMPTY_GROUP_S
    while True:
        if change == "deleted":
            asked: Any = admin.delete_consumer_groups([group], request_timeout=10)
        else:
            asked = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, wanted)])
        try:
            for future in asked.values():
                future.result(15)
            return
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise Violation(f"the offsets of {group} cannot be changed: {error}") from error
            time.sleep(0.3)


async def cut_log(field: Field) -> None:
    """Cut off, and make anew, a topic of our own: a reader that was further refuses, and says where."""
    await asyncio.to_thread(_cut_and_read, field)
    field.struck("log cut")
    await field.recovered()


def _cut_and_read(field: Field) -> None:
    topic = f"chaos-cut-{field.rng.randrange(10**9)}"
    admin = AdminClient(_client(field))
    _done(admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)]))
    log, source = _log(field), TopicPartition(topic, 0)
    try:
        log.append_all(topic, 0, [b"x"] * 100)
        log.flush()
        _done(admin.delete_records([KafkaTopicPartition(topic, 0, 60)]))
        _must_refuse(log, source, 20, f"{topic}[0]: expected offset 20, found 60 to 100")
        _must_refuse(log, source, 101, f"{topic}[0]: expected offset 101, found 60 to 100")
    finally:
        log.close()
        _done(admin.delete_topics([topic]))


def _must_refuse(log: KafkaEventLog, source: TopicPartition, start: int, words: str) -> None:
    try:
        log.assign({source: start})
    except PositionLost as refusal:
        if str(refusal) != words:
            raise Violation(f"a reader of a log cut off says {refusal}, not {words}") from refusal
        return
    raise Violation(f"a reader started at {start} of a log cut off: {words}")


def _done(asked: dict[Any, Any]) -> None:
    for future in asked.values():
        future.result(15)


# -- inside -------------------------------------------------------------------------------------


def _log(field: Field) -> KafkaEventLog:
    return KafkaEventLog(field.arena.settings.kafka, "chaos-fault")


def _client(field: Field) -> dict[str, str | int | float | bool]:
    kafka = field.arena.settings.kafka
    return {"bootstrap.servers": kafka.bootstrap_servers, **kafka.extra}


def _last(log: KafkaEventLog, topic: str, partition: int, count: int) -> list[Record]:
    source = TopicPartition(topic, partition)
    low, high = log.offsets(source)
    return [record for batch in log.read(source, max(low, high - count), high) for record in batch]
