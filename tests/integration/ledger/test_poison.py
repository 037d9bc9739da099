"""Records that nobody of ours wrote: the rows T1 to T10 of the list of bad inputs.

Poison goes to `dead-letters`, once, with its place, and the stream goes on; what only a newer release
can read stops the service. What makes a record poison is a function of its bytes and its place alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from schemas.codec import NewerMessage, encode
from schemas.orders import Side
from schemas.topics import load_topics
from service_runtime.errors import DeliveryFailed, Fault
from service_runtime.event_log import Record, TopicPartition
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import KafkaSettings
from tapehouse.topic_plan import declared_config
from tests.builders import (
    ALICE,
    BOB,
    account_opened,
    enter_order,
    funds_deposited,
    place_order,
    trade_executed,
)
from tests.integration import ledger_world
from tests.integration.ledger_world import World

GARBAGE = {
    "garbage": b"\xff\x00\x9c garbage",
    "empty": b"",
    "schema-id": b"\x00\x00\x00\x00\x07" + encode(place_order()),
    "unknown-type": b'{"type":"MakeMeRich.v1","account_id":1004}',
    "deep": b"[" * 100_000,
}
READERS = {
    "order-requests": "processor",
    "validated-orders": "matcher",
    "account-events": "recorder",
    "trade-execution": "recorder",
}
NO_TEXT = {
    "order-requests": encode(place_order(symbol="?")),
    "validated-orders": encode(enter_order(symbol="?")),
    "account-events": encode(account_opened(name="?")),
    "trade-execution": encode(trade_executed(symbol="?")),
}
IMPOSSIBLE: dict[str, tuple[str, Any]] = {
    "order-requests-negative": ("order-requests", place_order(quantity_lots=-5)),
    "order-requests-account": ("order-requests", place_order(account_id=-4)),
    "validated-orders-symbol": ("validated-orders", enter_order(symbol="DOGEUSDT")),
    "account-events-negative": ("account-events", funds_deposited(amount_minor=-1, deposit_id="minus")),
    "account-events-user": ("account-events", funds_deposited(account_id=888, deposit_id="nobody")),
    "account-events-time": ("account-events", account_opened(occurred_at_ns=10**30)),
    "account-events-asset": ("account-events", funds_deposited(asset="GOLD", deposit_id="gold")),
    "trade-execution-symbol": ("trade-execution", trade_executed(symbol="DOGEUSDT")),
}
MISPLACED: dict[str, Any] = {
    "order-requests": place_order(),
    "validated-orders": enter_order(),
    "account-events": account_opened(),
    "trade-execution": trade_executed(),
}


@pytest.fixture(scope="module")
def world(fresh_database: Callable[[], str], redis_url: str) -> Iterator[World]:
    with ledger_world.world(fresh_database, redis_url) as made:
        made.fund(USDT=10**15, BTC=10**15)
        yield made


def pass_through(world: World) -> None:
    """An order and its opposite go all the way."""
    name = secrets.token_hex(8)
    for account_id, side in ((ALICE, Side.BUY), (BOB, Side.SELL)):
        world.request(place_order(account_id=account_id, side=side, client_order_id=name))
    world.processor().drain()
    world.matcher().drain()
    world.recorder().drain()
    world.assert_conserved()
    query = "SELECT count(*) FROM orders WHERE client_order_id = %s AND executed_lots = quantity_lots"
    assert world.rows(query, name) == [(2,)]


def assert_buried(world: World, topic: str, partition: int, value: bytes, reason: str) -> None:
    """Written there it becomes a dead letter of its reader, the same one however often it is read."""
    offset = world.broker.write(topic, partition, value)
    pass_through(world)
    place = (topic, partition, offset)
    letters = [m for m in world.letters() if (m.source_topic, m.source_partition, m.source_offset) == place]
    assert {(m.service, m.reason, m.event_id) for m in letters} == {
        (READERS[topic], reason, f"dead-{READERS[topic]}-{topic}-{partition}-{offset}")
    }


@pytest.mark.parametrize("value", GARBAGE.values(), ids=[f"T1-{name}" for name in GARBAGE])
@pytest.mark.parametrize("topic", READERS)
def test_bytes_that_are_no_message_are_buried(world: World, topic: str, value: bytes) -> None:
    assert_buried(world, topic, 0, value, "decode_error")


@pytest.mark.parametrize(("topic", "value"), NO_TEXT.items(), ids=[f"T1-{topic}" for topic in NO_TEXT])
def test_text_that_is_no_text_is_buried(world: World, topic: str, value: bytes) -> None:
    assert_buried(world, topic, 0, value.replace(b'"?"', b'"\xff"'), "decode_error")


@pytest.mark.parametrize(("topic", "message"), IMPOSSIBLE.values(), ids=[f"T2-{name}" for name in IMPOSSIBLE])
def test_values_that_cannot_be_are_buried(world: World, topic: str, message: Any) -> None:
    assert_buried(world, topic, 0, encode(message), "validation_error")


@pytest.mark.parametrize(("topic", "message"), MISPLACED.items(), ids=[f"T3-{name}" for name in MISPLACED])
def test_a_message_in_the_wrong_partition_is_buried(world: World, topic: str, message: Any) -> None:
    assert_buried(world, topic, 1, encode(message), "wrong_partition")


def newer(message: Any, **changes: Any) -> bytes:
    return msgspec.json.encode({**msgspec.json.decode(encode(message)), **changes})


def test_a_newer_minor_version_is_read(world: World) -> None:
    """T7: a field that this release does not know."""
    name = secrets.token_hex(8)
    order = newer(place_order(client_order_id=name, price_ticks=1_000_000), hue="green")
    world.broker.write("order-requests", 0, order)
    pass_through(world)
    assert world.rows("SELECT count(*) FROM orders WHERE client_order_id = %s", name) == [(1,)]


@pytest.mark.parametrize(("topic", "service"), READERS.items(), ids=[f"T7-{topic}" for topic in READERS])
def test_a_newer_major_version_stops_its_reader(world: World, topic: str, service: str) -> None:
    """Never skipped: a reader of this release stands before it for ever, and says what it cannot read."""
    kind = msgspec.json.decode(encode(MISPLACED[topic]))["type"].removesuffix(".v1")
    record = Record(topic, 0, world.end(topic), newer(MISPLACED[topic], type=f"{kind}.v2", hue="green"))
    for _ in range(2):
        running = getattr(world, service)()
        running.drain()
        with pytest.raises((NewerMessage, Fault), match=rf"{kind}\.v2: this code knows v1"):
            running.deliver([record])
    buried = f"dead-{service}-{topic}-0-{record.offset}"
    assert buried not in {letter.event_id for letter in world.letters()}


# -- on a broker ---------------------------------------------------------------------------------


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    """A topic with the settings of `order-requests`."""
    name = f"poison-{secrets.token_hex(6)}"
    config = declared_config(load_topics().topics["order-requests"], replication=1)
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(name, 1, 1, config=config)])[name].result(20)
    return name


@pytest.fixture
def log(kafka_bootstrap: str) -> Iterator[KafkaEventLog]:
    with KafkaEventLog(KafkaSettings(bootstrap_servers=kafka_bootstrap), "poison") as made:
        yield made


def read_one(log: KafkaEventLog, topic: str) -> Any:
    source = TopicPartition(topic, 0)
    ((record,),) = log.read(source, *log.offsets(source))
    return record


def test_a_record_that_the_broker_refuses_ends_its_writer(log: KafkaEventLog, topic: str) -> None:
    """T4: larger than the topic allows. It is not dropped silently; the public API refuses at 16 KiB."""
    log.append(topic, 0, secrets.token_bytes(2_000_000))
    with pytest.raises(DeliveryFailed, match="size"):
        log.flush()


def test_headers_mean_nothing(log: KafkaEventLog, topic: str) -> None:
    """T6: a thousand of them, with names that look like ours."""
    log.append(topic, 0, b"value", headers=[("account_id", b"1"), ("type", b"X.v2")] * 500)
    log.flush()
    record = read_one(log, topic)
    assert (record.value, record.key) == (b"value", None)


def test_a_timestamp_years_away_is_not_kept(kafka_bootstrap: str, log: KafkaEventLog, topic: str) -> None:
    """T10: the broker's own time stands in the record, so that retention cannot be led astray."""
    started_ms = _broker_time_ms(log, topic)
    producer = Producer({"bootstrap.servers": kafka_bootstrap})
    producer.produce(topic, b"old", partition=0, timestamp=1)
    producer.produce(topic, b"new", partition=0, timestamp=started_ms + 40 * 365 * 86_400_000)
    assert producer.flush(20) == 0
    source = TopicPartition(topic, 0)
    records = [r for batch in log.read(source, 1, log.offsets(source)[1]) for r in batch]
    assert [r.value for r in records] == [b"old", b"new"]
    assert all(started_ms <= r.timestamp_ms < started_ms + 3_600_000 for r in records)


def _broker_time_ms(log: KafkaEventLog, topic: str) -> int:
    log.append(topic, 0, b"now")
    log.flush()
    return int(read_one(log, topic).timestamp_ms)
