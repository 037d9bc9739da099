"""What each fault does to the simulated exchange."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from schemas.hot_book import key as hot_key
from schemas.topics import (
    ACCOUNT_EVENTS,
    BOOK_SNAPSHOTS,
    MATCHED_EVENTS,
    ORDER_REQUESTS,
    TRADE_EXECUTION,
    VALIDATED_ORDERS,
)
from service_runtime.event_log import Record, TopicPartition
from tests.simulation.exchange.faults import Fault
from tests.simulation.exchange.process import Process
from tests.simulation.exchange.scheduler import MS, SECOND, Killed
from tests.simulation.exchange.sim_redis import Kept
from tests.simulation.exchange.traders import garbage

if TYPE_CHECKING:
    from tests.simulation.exchange.world import World

_POISONED = (ORDER_REQUESTS, VALIDATED_ORDERS, MATCHED_EVENTS, TRADE_EXECUTION, ACCOUNT_EVENTS)
_REPEATED = _POISONED
_PARTITIONS = 2
_DIGITS = b"0123456789"


class Strikes:
    """Each method lets one kind of fault happen; False: there was nothing that it could happen to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.scheduler, self.broker, self.redis = world.scheduler, world.broker, world.redis
        self._old_redis: list[Kept] = []
        self._of: dict[Fault, Callable[[Process], bool | None]] = {
            Fault.CRASH: self._crash,
            Fault.ALL_CRASH: self._all_crash,
            Fault.FREEZE: self._freeze,
            Fault.STOP: self._stop,
            Fault.SPLIT: self._split,
            Fault.SESSION_LOST: self._lose_session,
            Fault.OFFSETS_LOST: self._lose_offsets,
            Fault.REDIS_AWAY: self._redis_away,
            Fault.REDIS_FORGETS: self._redis_forgets,
            Fault.REDIS_FORGETS_SYMBOL: self._redis_forgets_symbol,
            Fault.REDIS_STALE: self._redis_stale,
            Fault.SNAPSHOT_DAMAGED: self._damage_snapshot,
            Fault.HOT_SNAPSHOT_DAMAGED: self._damage_hot_snapshot,
            Fault.POISON: self._poison,
            Fault.DUPLICATE: self._duplicate,
            Fault.CLOCK: self._step_clock,
        }

    def keep_redis(self) -> None:
        """Remember Redis as it is now: it may be so again."""
        self._old_redis = [*self._old_redis[-2:], self.redis.kept()]

    def strike(self, fault: Fault, process: Process) -> None:
        """Let it happen, here and now. Raises Killed when it is the end of the process."""
        if self._of[fault](process) is False:
            return
        self.world.faults.counts[fault] += 1
        self.scheduler.tell(process.name, f"FAULT {fault} at {process.place}")
        if process.dead:
            raise Killed
        if fault is Fault.FREEZE:
            process.wait(0)

    def _crash(self, process: Process) -> None:
        process.crash()

    def _all_crash(self, process: Process) -> None:
        for node in self.world.nodes:
            other = node.process
            if other is not None and other is not process:
                self.scheduler.after(0, _killing(other))
        process.crash()

    def _freeze(self, process: Process) -> None:
        process.freeze(int(10 * MS * 300 ** self.scheduler.dice.random()))

    def _stop(self, process: Process) -> bool | None:
        if process.stopping:
            return False
        process.stopping = True
        return None

    def _group_of(self, process: Process) -> Any:
        return self.broker.groups.get(process.node.service)

    def _split(self, process: Process) -> bool | None:
        group = self._group_of(process)
        if group is None or not group.members:
            return False
        blind = group.members[self.scheduler.dice.choice(sorted(group.members))]
        blind.blind_until_ns = self.scheduler.now_ns + self.scheduler.between(10 * MS, SECOND)
        group.rebalance()
        return None

    def _lose_session(self, process: Process) -> bool | None:
        group = self._group_of(process)
        if group is None or not group.members:
            return False
        group.leave(group.members[self.scheduler.dice.choice(sorted(group.members))])
        return None

    def _lose_offsets(self, process: Process) -> bool | None:
        group = self._group_of(process)
        if group is None or not group.committed:
            return False
        if self.scheduler.dice.random() < 0.3:
            group.committed.clear()
        for source in sorted(group.committed):
            group.committed[source] = self.scheduler.dice.randint(0, self.broker.bounds(source)[1])
        return None

    def _redis_away(self, process: Process) -> None:
        self.redis.away_until_ns = self.scheduler.now_ns + self.scheduler.between(0, 800 * MS)

    def _redis_forgets(self, process: Process) -> bool | None:
        if not self.redis.keys:
            return False
        self.redis.keys.clear()
        self.redis.expires.clear()
        return None

    def _redis_forgets_symbol(self, process: Process) -> bool | None:
        prefix = hot_key(self.scheduler.dice.choice(self.world.symbols), "")
        return self.redis.replace(prefix, Kept({}, {}))

    def _redis_stale(self, process: Process) -> bool | None:
        if not self._old_redis:
            return False
        prefix = hot_key(self.scheduler.dice.choice(self.world.symbols), "")
        return self.redis.replace(prefix, self.scheduler.dice.choice(self._old_redis))

    def _damage_snapshot(self, process: Process) -> bool | None:
        dice = self.scheduler.dice
        records = self.broker.records[TopicPartition(BOOK_SNAPSHOTS, dice.randint(0, 1))]
        if not records:
            return False
        place = dice.randint(max(0, len(records) - 6), len(records) - 1)
        old = records[place]
        value = self._damaged(old.value, dice.choice(records).value)
        records[place] = Record(old.topic, old.partition, old.offset, value, old.key, old.timestamp_ms)
        return None

    def _damage_hot_snapshot(self, process: Process) -> bool | None:
        names = [key for key in self.redis.keys if ":snapshot/" in key]
        if not names:
            return False
        dice = self.scheduler.dice
        name = dice.choice(names)
        self.redis.keys[name] = self._damaged(self.redis.keys[name], self.redis.keys[dice.choice(names)])
        return None

    def _damaged(self, data: bytes, other: bytes) -> bytes:
        dice = self.scheduler.dice
        kind = dice.randint(0, 3)
        if kind == 0 or not data:
            return other
        place = dice.randint(0, len(data) - 1)
        if kind == 1:
            return data[:place]
        if kind == 2:  # still readable: only what is checked against it tells
            place = dice.choice([i for i, letter in enumerate(data) if letter in _DIGITS] or [place])
            return data[:place] + bytes([dice.choice(_DIGITS)]) + data[place + 1 :]
        return data[:place] + bytes([dice.randint(32, 126)]) + data[place + 1 :]

    def _poison(self, process: Process) -> None:
        dice = self.scheduler.dice
        topic = dice.choice(_POISONED)
        partition = dice.randint(0, _PARTITIONS - 1)
        other = self.broker.records[TopicPartition(topic, 1 - partition)]
        if other and dice.random() < 0.25:
            value = dice.choice(other).value  # a good record, where it does not belong
        else:
            value = garbage(dice, [r.value for r in other[-3:]])
        self.broker.write(topic, partition, value, b"poison")

    def _duplicate(self, process: Process) -> bool | None:
        dice = self.scheduler.dice
        source = TopicPartition(dice.choice(_REPEATED), dice.randint(0, 1))
        records = self.broker.records[source]
        if not records:
            return False
        record = dice.choice(records[-20:])
        self.broker.write(*source, record.value, record.key)
        return None

    def _step_clock(self, process: Process) -> None:
        process.node.skew_ns = self.scheduler.between(-30 * SECOND, 30 * SECOND)


def _killing(process: Process) -> Callable[[], None]:
    def kill() -> None:
        if not process.dead:
            process.crash()
            process.task.kill()

    return kill
