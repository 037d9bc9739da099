"""One suite for all adapters of the event log port: real, in memory, simulated."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.topics import Topic, TopicMap
from service_runtime.errors import LogFault, PositionLost
from service_runtime.event_log import END, EventLog, Record, TopicPartition
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.memory_log import MemoryBroker, MemoryEventLog
from service_runtime.settings import KafkaSettings
from tests.simulation.exchange.scheduler import MS, Scheduler
from tests.simulation.exchange.sim_log import SimBroker, SimLog

PARTITIONS = 2
_DEADLINE_S = 30.0


class World(Protocol):
    topic: str

    def log(self, name: str) -> EventLog: ...

    def forget(self, source: TopicPartition, first_offset: int) -> None: ...


class MemoryWorld:
    def __init__(self) -> None:
        self.topic = "contract"
        self.broker = MemoryBroker({self.topic: PARTITIONS})

    def log(self, name: str) -> EventLog:
        return MemoryEventLog(self.broker)

    def forget(self, source: TopicPartition, first_offset: int) -> None:
        self.broker.truncate(source, first_offset)


class Bystander:
    """A process of the simulation to which nothing happens; when it waits, simulated time passes."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.name = name
        self.frozen_until_ns = 0
        self._scheduler = scheduler

    def reach(self, place: str) -> None: ...

    def wake(self) -> None: ...

    def strikes(self, place: str) -> bool:
        return False

    def pause(self, most_ns: int) -> None:
        self.wait(most_ns)

    def wait(self, timeout_ns: int | None = None) -> None:
        self._scheduler.run_until(self._scheduler.now_ns + (MS if timeout_ns is None else timeout_ns))


class SimulatedWorld:
    def __init__(self) -> None:
        self.topic = "contract"
        topic = Topic(self.topic, "tests", "source", PARTITIONS, {}, ())
        self._scheduler = Scheduler(1)
        self._broker = SimBroker(self._scheduler, TopicMap({self.topic: topic}, {}))

    def log(self, name: str) -> EventLog:
        return SimLog(self._broker, Bystander(self._scheduler, name))

    def forget(self, source: TopicPartition, first_offset: int) -> None:
        self._broker.truncate(source, first_offset)


class KafkaWorld:
    def __init__(self, bootstrap: str) -> None:
        self.topic = f"contract-{secrets.token_hex(4)}"
        self._settings = KafkaSettings(bootstrap_servers=bootstrap, session_timeout_ms=2_000)
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        created = self._admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])
        created[self.topic].result(20)

    def log(self, name: str) -> EventLog:
        return KafkaEventLog(self._settings, f"{self.topic}-{name}")

    def forget(self, source: TopicPartition, first_offset: int) -> None:
        from confluent_kafka import TopicPartition as KafkaTopicPartition

        where = KafkaTopicPartition(source.topic, source.partition, first_offset)
        for future in self._admin.delete_records([where]).values():
            future.result(20)


@pytest.fixture(params=["memory", "simulated", pytest.param("kafka", marks=pytest.mark.services)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return MemoryWorld()
    if request.param == "simulated":
        return SimulatedWorld()
    return KafkaWorld(request.getfixturevalue("kafka_bootstrap"))


@pytest.fixture
def open_log(world: World) -> Iterator[Callable[[str], EventLog]]:
    opened: list[EventLog] = []

    def make(name: str) -> EventLog:
        opened.append(world.log(name))
        return opened[-1]

    yield make
    for log in opened:
        log.close()


class Member:
    """A listener that starts where told and notes what it owns."""

    def __init__(self, starts: Mapping[TopicPartition, int] | None = None) -> None:
        self.starts = dict(starts or {})
        self.owned: set[TopicPartition] = set()
        self.history: list[str] = []

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.owned |= set(partitions)
        self.history.append("assigned")
        return {p: self.starts.get(p, 0) for p in partitions}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self.owned -= set(partitions)
        self.history.append("revoked")


def poll_until(log: EventLog, done: Callable[[list[Record]], bool]) -> list[Record]:
    found: list[Record] = []
    deadline = time.monotonic() + _DEADLINE_S
    while not done(found):
        assert time.monotonic() < deadline, f"only {len(found)} records came"
        found += log.poll(100, 0.1)
    return found


def write(log: EventLog, topic: str, count: int, partition: int = 0, start: int = 0) -> None:
    for i in range(start, start + count):
        log.append(topic, partition, f"v{i}".encode(), key=b"k")
    log.flush()


def test_records_are_read_in_order_with_offsets_from_zero(
    world: World, open_log: Callable[[str], EventLog]
) -> None:
    log = open_log("a")
    write(log, world.topic, 10)
    log.assign({TopicPartition(world.topic, 0): 0})
    found = poll_until(log, lambda r: len(r) >= 10)
    assert [(r.offset, r.value, r.key) for r in found] == [(i, f"v{i}".encode(), b"k") for i in range(10)]


def test_records_appended_together_keep_their_order_among_the_others(
    world: World, open_log: Callable[[str], EventLog]
) -> None:
    log = open_log("a")
    log.append(world.topic, 0, b"first", b"k")
    log.append_all(world.topic, 0, (b"%d" % n for n in range(3_000)), b"k")
    log.append(world.topic, 0, b"last")
    log.flush()
    source = TopicPartition(world.topic, 0)
    log.assign({source: 0})
    records = poll_until(log, lambda found: len(found) == 3_002)
    assert [r.value for r in records] == [b"first", *(b"%d" % n for n in range(3_000)), b"last"]
    assert {r.key for r in records[:-1]} == {b"k"}


def test_assign_starts_at_the_given_offset_and_at_the_end(
    world: World, open_log: Callable[[str], EventLog]
) -> None:
    log, reader = open_log("a"), open_log("b")
    write(log, world.topic, 5)
    source = TopicPartition(world.topic, 0)
    reader.assign({source: 3})
    assert [r.offset for r in poll_until(reader, lambda r: len(r) >= 2)] == [3, 4]
    reader.assign({source: END})
    write(log, world.topic, 1, start=5)
    assert [r.offset for r in poll_until(reader, lambda r: len(r) >= 1)] == [5]


def test_poll_never_returns_more_than_asked(world: World, open_log: Callable[[str], EventLog]) -> None:
    log = open_log("a")
    write(log, world.topic, 20)
    log.assign({TopicPartition(world.topic, 0): 0})
    sizes = []
    while sum(sizes) < 20:
        sizes.append(len(log.poll(7, 0.2)))
    assert max(sizes) <= 7


def test_group_members_share_partitions_and_start_where_the_listener_says(
    world: World, open_log: Callable[[str], EventLog]
) -> None:
    writer = open_log("writer")
    write(writer, world.topic, 4, partition=0)
    write(writer, world.topic, 4, partition=1)
    sources = [TopicPartition(world.topic, p) for p in range(PARTITIONS)]
    first, second = Member(dict.fromkeys(sources, 2)), Member(dict.fromkeys(sources, 2))
    one, two = open_log("one"), open_log("two")
    one.subscribe([world.topic], world.topic, first)
    poll_until(one, lambda _: first.owned == set(sources))
    two.subscribe([world.topic], world.topic, second)
    deadline = time.monotonic() + _DEADLINE_S
    found: list[Record] = []
    while not (len(first.owned) == 1 and len(second.owned) == 1 and first.owned != second.owned):
        assert time.monotonic() < deadline
        found += one.poll(100, 0.05) + two.poll(100, 0.05)
    assert all(r.offset >= 2 for r in found)


def test_fault_of_the_listener_comes_out_of_poll(world: World, open_log: Callable[[str], EventLog]) -> None:
    class Broken(Member):
        def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
            raise PositionLost("t", 0, 5, "nothing")

    log = open_log("a")

    def join() -> None:
        log.subscribe([world.topic], world.topic, Broken())
        poll_until(log, lambda _: False)

    with pytest.raises(PositionLost, match="expected offset 5"):
        join()


def test_position_outside_the_log_is_refused(world: World, open_log: Callable[[str], EventLog]) -> None:
    log = open_log("a")
    write(log, world.topic, 5)
    source = TopicPartition(world.topic, 0)
    world.forget(source, 3)
    assert log.offsets(source) == (3, 5)
    for lost in (2, 6):
        with pytest.raises(PositionLost, match="3 to 5"):
            log.assign({source: lost})
    with pytest.raises(PositionLost):
        list(log.read(source, 1, 5))


def test_read_yields_exactly_the_range(world: World, open_log: Callable[[str], EventLog]) -> None:
    log = open_log("a")
    write(log, world.topic, 10)
    source = TopicPartition(world.topic, 0)
    assert [r.offset for batch in log.read(source, 4, 8) for r in batch] == [4, 5, 6, 7]
    assert [r.offset for batch in log.read(source, 0, 10) for r in batch] == list(range(10))
    assert list(log.read(source, 4, 4)) == []


def test_unknown_topic_is_a_fault(world: World, open_log: Callable[[str], EventLog]) -> None:
    with pytest.raises(LogFault):
        open_log("a").offsets(TopicPartition(world.topic + "-not-there", 0))
