"""Simulated Kafka: one `SimBroker`, and a `SimLog` for each process (see `service_runtime.event_log`).

Records wait in their process until the network takes them, partition by partition, in order. What a process
that dies has not sent is lost from some record on; what a frozen one has not sent comes when it wakes up.
Who joins a group shares its partitions by the dice; a member learns of a change only when it polls, so that
for a while two own a partition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from schemas.topics import TopicMap
from service_runtime.errors import DeliveryFailed, LogFault, PositionLost
from service_runtime.event_log import END, AssignmentListener, Record, TopicPartition
from tests.simulation.exchange.scheduler import MS, SECOND, Scheduler

_SESSION_NS = 400 * MS
_READ_MOST = 40
_Entry = tuple[bytes, bytes | None]


class Owner(Protocol):
    """The process whose log it is."""

    name: str
    frozen_until_ns: int

    def reach(self, place: str) -> None: ...

    def pause(self, most_ns: int) -> None: ...

    def wait(self, timeout_ns: int | None = None) -> None: ...

    def wake(self) -> None: ...

    def strikes(self, place: str) -> bool: ...


class SimBroker:
    """Topics, records, and groups."""

    def __init__(self, scheduler: Scheduler, topics: TopicMap) -> None:
        self.scheduler = scheduler
        self.records: dict[TopicPartition, list[Record]] = {
            TopicPartition(topic.name, p): []
            for topic in topics.topics.values()
            for p in range(topic.partitions)
        }
        self.first: dict[TopicPartition, int] = {}
        self.groups: dict[str, Group] = {}
        self.in_flight = 0
        """Appended and not yet stored, by processes that live."""
        self._waiting: list[SimLog] = []

    def write(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> int:
        """Store one record and return its offset."""
        source = TopicPartition(topic, partition)
        if source not in self.records:
            raise LogFault(f"unknown partition {topic}[{partition}]")
        records = self.records[source]
        offset = self.first.get(source, 0) + len(records)
        records.append(Record(topic, partition, offset, value, key, self.scheduler.now_ns // 1_000_000))
        if self._waiting:
            for log in [each for each in self._waiting if source in each.positions]:
                self._waiting.remove(log)
                log.owner.wake()
        return offset

    def truncate(self, source: TopicPartition, first_offset: int) -> None:
        del self.records[source][: first_offset - self.first.get(source, 0)]
        self.first[source] = first_offset

    def bounds(self, source: TopicPartition) -> tuple[int, int]:
        if source not in self.records:
            raise LogFault(f"unknown partition {source.topic}[{source.partition}]")
        first = self.first.get(source, 0)
        return first, first + len(self.records[source])

    def await_records(self, log: SimLog) -> None:
        if log not in self._waiting:
            self._waiting.append(log)

    def forget(self, log: SimLog) -> None:
        if log in self._waiting:
            self._waiting.remove(log)

    def group(self, name: str) -> Group:
        if name not in self.groups:
            self.groups[name] = Group(self)
        return self.groups[name]


class Group:
    """Who reads what; `shares` is what the coordinator thinks."""

    def __init__(self, broker: SimBroker) -> None:
        self.generation = 0
        self.members: dict[str, SimLog] = {}
        self.shares: dict[TopicPartition, str] = {}
        self.committed: dict[TopicPartition, int] = {}
        self._broker = broker

    def join(self, log: SimLog) -> None:
        self.members[log.owner.name] = log
        self.rebalance()

    def leave(self, log: SimLog) -> None:
        if self.members.get(log.owner.name) is log:
            del self.members[log.owner.name]
            self.rebalance()

    def rebalance(self) -> None:
        """Give out the partitions anew."""
        self.generation += 1
        names = sorted(self.members)
        topics = sorted({topic for log in self.members.values() for topic in log.topics})
        dice, owners = self._broker.scheduler.dice, dict[int, str]()
        self.shares = {}
        for source in sorted(self._broker.records):
            if source.topic in topics and names:
                if source.partition not in owners:  # one partition of all topics together, as by range
                    owners[source.partition] = dice.choice(names)
                self.shares[source] = owners[source.partition]
        for log in self.members.values():
            self._broker.forget(log)
            log.owner.wake()

    def share_of(self, log: SimLog) -> list[TopicPartition]:
        if self.members.get(log.owner.name) is not log:
            return []
        return [source for source, name in self.shares.items() if name == log.owner.name]


class SimLog:
    """One process's view. Every call may end or freeze the process, before or after what it does."""

    def __init__(self, broker: SimBroker, owner: Owner) -> None:
        self.owner = owner
        self.topics: tuple[str, ...] = ()
        self.positions: dict[TopicPartition, int] = {}
        self._broker = broker
        self._scheduler = broker.scheduler
        self._unsent: dict[TopicPartition, deque[_Entry]] = {}
        self._planned: set[TopicPartition] = set()
        self._flushing = False
        self._failed = self._gone = False
        self.blind_until_ns = 0
        """Until then it hears nothing of its group."""
        self._group: Group | None = None
        self._generation = 0
        self._listener: AssignmentListener | None = None

    # -- reading --------------------------------------------------------------------------------

    def subscribe(self, topics: Sequence[str], group: str, listener: AssignmentListener) -> None:
        self.topics, self._listener = tuple(topics), listener
        self._group = self._broker.group(group)
        self._group.join(self)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self.positions = {source: self._checked(source, offset) for source, offset in positions.items()}

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        self.owner.reach("poll")
        self._follow_group()
        batch = self._take(max_records)
        if not batch:
            self._broker.await_records(self)
            self.owner.wait(int(timeout_s * SECOND))
            self._broker.forget(self)
            self._follow_group()
            batch = self._take(max_records)
        self.owner.reach("polled")
        return batch

    def _take(self, max_records: int) -> list[Record]:
        ready = []
        for source, position in self.positions.items():
            first, end = self._broker.bounds(source)
            if position < first:
                raise PositionLost(source.topic, source.partition, position, f"{first} on")
            if position < end:
                ready.append(source)
        if not ready:
            return []
        dice = self._scheduler.dice
        if len(ready) > 1:
            dice.shuffle(ready)
        batch: list[Record] = []
        for source in ready:
            most = min(max_records - len(batch), dice.choice((1, 3, 10, 1000)))
            start = self.positions[source] - self._broker.bounds(source)[0]
            found = self._broker.records[source][start : start + most]
            batch += found
            self.positions[source] += len(found)
        return batch

    def _follow_group(self) -> None:
        group = self._group
        if group is None or self._listener is None or group.generation == self._generation:
            return
        if self._scheduler.now_ns < self.blind_until_ns:
            return
        if group.members.get(self.owner.name) is not self:  # evicted while it was silent
            group.join(self)
        self._generation = group.generation
        if self.positions:
            owned = sorted(self.positions)
            self.positions = {}
            self._listener.on_revoked(owned)
        share = group.share_of(self)
        self._scheduler.tell(self.owner.name, f"is given {_names(share)}")
        starts = self._listener.on_assigned(share)
        self.positions = {source: self._checked(source, starts[source]) for source in share}

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self.owner.reach("offsets committed")
        if self._group is not None:
            self._group.committed.update(next_offsets)

    def committed(self, source: TopicPartition) -> int | None:
        """What the group was told. No service asks: only a planted bug does."""
        return None if self._group is None else self._group.committed.get(source)

    @property
    def settled(self) -> bool:
        """Tell whether it works on what its group has given it."""
        group = self._group
        return group is None or (
            self._generation == group.generation and self.positions.keys() == {*group.share_of(self)}
        )

    # -- writing --------------------------------------------------------------------------------

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        self.owner.reach("append")
        source = TopicPartition(topic, partition)
        self._broker.bounds(source)
        if self._failed:
            return
        waiting = self._unsent.get(source)
        if waiting is None:
            waiting = self._unsent[source] = deque()
        waiting.append((value, key))
        self._broker.in_flight += 1
        if source not in self._planned:
            self._plan(source)

    def append_all(
        self, topic: str, partition: int, values: Iterable[bytes], key: bytes | None = None
    ) -> None:
        for value in values:
            self.append(topic, partition, value, key)

    def flush(self) -> None:
        self.owner.reach("flush")
        if self.owner.strikes("flush"):
            self._give_up()
        while any(self._unsent.values()) and not self._failed:
            self._flushing = True
            self.owner.wait()
            self._flushing = False
        if self._failed:
            raise DeliveryFailed("a record was not stored: simulated")
        self.owner.reach("flushed")

    def _plan(self, source: TopicPartition, delay_ns: int | None = None) -> None:
        self._planned.add(source)
        delay = self._scheduler.between(50_000, 2 * MS) if delay_ns is None else delay_ns
        self._scheduler.after(delay, lambda: self._deliver(source))

    def _deliver(self, source: TopicPartition) -> None:
        """The network takes some of what waits for the partition, in order."""
        self._planned.discard(source)
        if self._gone:
            return
        asleep_ns = self.owner.frozen_until_ns - self._scheduler.now_ns
        if asleep_ns > 0:
            self._plan(source, asleep_ns + self._scheduler.between(0, MS))
            return
        waiting = self._unsent[source]
        if self.owner.strikes("send"):
            self._plan(source, self._scheduler.between(MS, 300 * MS))  # lost on the way, sent again
            return
        count = len(waiting)
        if count > 1 and self._scheduler.dice.random() < 0.3:
            count = self._scheduler.dice.randint(1, count)
        self._store(source, count)
        if waiting:
            self._plan(source)
        elif self._flushing and not any(self._unsent.values()):
            self.owner.wake()

    def _store(self, source: TopicPartition, count: int) -> None:
        waiting = self._unsent[source]
        for _ in range(count):
            value, key = waiting.popleft()
            self._broker.in_flight -= 1
            self._broker.write(source.topic, source.partition, value, key)

    def _give_up(self) -> None:
        """The producer breaks: of each partition a beginning is stored, of the rest nobody will know."""
        self._failed = True
        for source, waiting in self._unsent.items():
            self._store(source, self._scheduler.dice.randint(0, len(waiting)))
            self._broker.in_flight -= len(waiting)
            waiting.clear()

    def miss_heartbeats(self, until_ns: int) -> None:
        """The process stands still: after its session the others take its partitions."""
        group = self._group
        if group is not None and until_ns - self._scheduler.now_ns > _SESSION_NS:
            self._scheduler.after(_SESSION_NS, lambda: group.leave(self))

    def die(self) -> int:
        """The process is gone. What was on its way still arrives, a little later; return how much."""
        self._gone = True
        self._broker.forget(self)
        if self._group is not None:
            group = self._group
            self._scheduler.after(self._scheduler.between(MS, _SESSION_NS), lambda: group.leave(self))
        late = 0
        for source, waiting in self._unsent.items():
            count = self._scheduler.dice.randint(0, len(waiting))
            self._broker.in_flight -= len(waiting) - count
            if count:
                late += count
                self._scheduler.after(
                    self._scheduler.between(0, 50 * MS), self._arrive(source, list(waiting)[:count])
                )
            waiting.clear()
        return late

    def _arrive(self, source: TopicPartition, entries: list[_Entry]) -> Callable[[], None]:
        def arrive() -> None:
            for value, key in entries:
                self._broker.in_flight -= 1
                self._broker.write(source.topic, source.partition, value, key)

        return arrive

    # -- looking --------------------------------------------------------------------------------

    def offsets(self, source: TopicPartition) -> tuple[int, int]:
        self.owner.reach("look")
        return self._broker.bounds(source)

    def read(self, source: TopicPartition, start: int, end: int) -> Iterator[list[Record]]:
        if start >= end:
            return
        self._checked(source, start)
        position = start
        while position < end:
            self.owner.reach("read")
            self.owner.pause(MS)
            first = self._broker.first.get(source, 0)
            stop = min(end, position + self._scheduler.dice.choice((1, 7, _READ_MOST)))
            batch = self._broker.records[source][position - first : stop - first]
            position += len(batch)
            yield batch

    def lag(self) -> dict[TopicPartition, int]:
        return {s: self._broker.bounds(s)[1] - position for s, position in self.positions.items()}

    def close(self) -> None:
        if self._gone:
            return
        self.owner.reach("close")
        for source in list(self._unsent):
            self._store(source, len(self._unsent[source]))
        self._gone = True
        self._broker.forget(self)
        if self._group is not None:
            self._group.leave(self)

    def _checked(self, source: TopicPartition, offset: int) -> int:
        low, high = self.offsets(source)
        if offset == END:
            return high
        if not low <= offset <= high:
            raise PositionLost(source.topic, source.partition, offset, f"{low} to {high}")
        return offset


def _names(sources: Sequence[TopicPartition]) -> str:
    return ", ".join(f"{s.topic}[{s.partition}]" for s in sources) or "nothing"
