from __future__ import annotations

from collections.abc import Sequence

import pytest

from matcher import Matched
from matcher.output_watch import OutputWatch
from schemas.topics import MATCHED_EVENTS, load_topics
from service_runtime.errors import ChainBroken
from service_runtime.event_log import TopicPartition
from service_runtime.memory_log import MemoryBroker, MemoryEventLog
from tests.unit.matcher.orders import BUY, Desk


class Owner:
    """Makes records, and writes them at once or when told to."""

    def __init__(self, broker: MemoryBroker, account_id: int = 1) -> None:
        self.log = MemoryEventLog(broker)
        self.watch = OutputWatch(self.log, 0, self.log.offsets(TopicPartition(MATCHED_EVENTS, 0))[1])
        self.desk = Desk()
        self._account_id = account_id

    def make(self, number: int) -> list[Matched]:
        start = len(self.desk.inputs)
        return [
            self.desk.enter(n + 1, BUY, 100, 1, account_id=self._account_id)
            for n in range(start, start + number)
        ]

    def write(self, made: Sequence[Matched]) -> None:
        self.log.append_all(MATCHED_EVENTS, 0, [m.data for m in made])
        self.watch.wrote("BTCUSDT", made, self.desk.engine.last_hash)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker({topic.name: topic.partitions for topic in load_topics().topics.values()})


def reads(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the records that looks read."""
    found: list[int] = []
    read = owner.log.read

    def counting(*args):  # type: ignore[no-untyped-def]
        for batch in read(*args):
            found.append(len(batch))
            yield batch

    monkeypatch.setattr(owner.log, "read", counting)
    return found


def test_alone_nothing_is_read(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner(broker)
    found = reads(owner, monkeypatch)
    for _ in range(3):
        owner.write(owner.make(5))
        owner.watch.look()
    assert found == []
    assert owner.watch.end == 15


def test_two_owners_that_agree_do_no_harm(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Owner(broker), Owner(broker)
    found = reads(one, monkeypatch)
    for owner in (one, two, two, one):
        owner.write(owner.make(5))
        one.watch.look()
        two.watch.look()
    assert sum(found) == 10


def test_other_record_behind_ours_ends_us(broker: MemoryBroker) -> None:
    one, other = Owner(broker), Owner(broker, account_id=2)
    one.write(one.make(5))
    one.watch.look()
    other.write(other.make(3))
    with pytest.raises(ChainBroken, match=r"matched-events\[0\] offset 5: BTCUSDT sequence 1: we made"):
        one.watch.look()


def test_other_record_ahead_of_ours_ends_us_when_we_come_to_it(broker: MemoryBroker) -> None:
    one, other = Owner(broker), Owner(broker, account_id=2)
    one.write(one.make(1))
    other.write(other.make(3))
    with pytest.raises(ChainBroken, match="offset 1: BTCUSDT sequence 1"):
        one.watch.look()
    late = Owner(broker)
    late.log.append_all(MATCHED_EVENTS, 0, [m.data for m in other.make(1)])
    late.watch.look()
    with pytest.raises(ChainBroken, match="stood there before: BTCUSDT sequence 4"):
        late.write(late.make(4))


def test_garbage_in_the_output_is_for_its_readers(broker: MemoryBroker) -> None:
    owner = Owner(broker)
    owner.log.append(MATCHED_EVENTS, 0, b"garbage")
    owner.write(owner.make(2))
    owner.watch.look()
    assert owner.watch.end == 3


def test_an_old_record_that_comes_again_before_our_first_is_no_break(broker: MemoryBroker) -> None:
    """Whoever starts behind others' records may meet one of them again before it has written any."""
    before, owner = Owner(broker), Owner(broker)
    old = before.make(4)
    before.write(old)
    owner.make(4)  # recovered: computed, and not written
    owner.watch = OutputWatch(owner.log, 0, 4)
    for _ in range(2):
        before.log.append_all(MATCHED_EVENTS, 0, [old[0].data])
        owner.watch.look()
        owner.write(owner.make(1))
    owner.watch.look()


def test_while_another_owner_is_ahead_the_next_record_stands_before_the_end(broker: MemoryBroker) -> None:
    owner, other = Owner(broker), Owner(broker)
    owner.write(owner.make(2))
    owner.watch.look()
    assert owner.watch.floor("BTCUSDT", 2) == 2
    other.write(other.make(4))
    owner.watch.look()
    assert owner.watch.floor("BTCUSDT", 2) is None
    owner.write(owner.make(2))
    assert owner.watch.floor("BTCUSDT", 4) == 6


def test_what_a_standby_was_shown_ahead_of_its_books_counts(broker: MemoryBroker) -> None:
    other = Owner(broker)
    other.write(other.make(4))
    watch = OutputWatch(other.log, 0, 4, {"BTCUSDT": 4})
    assert watch.floor("BTCUSDT", 2) is None
    assert watch.floor("BTCUSDT", 4) == watch.floor("ETHUSDT", 0) == 4
