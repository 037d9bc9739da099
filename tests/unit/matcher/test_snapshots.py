from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from matcher import forked, snapshots
from matcher.settings import MatcherSettings
from schemas.codec import decoder_for, encode
from schemas.events import BookSnapshot
from schemas.topics import BOOK_SNAPSHOTS
from service_runtime.errors import PositionLost
from service_runtime.event_log import Record, TopicPartition
from tests.unit.matcher.orders import BUY, INSTRUMENT, Desk
from tests.unit.matcher.world import INPUT, NO_REDIS, Process, World

SOURCE = TopicPartition(BOOK_SNAPSHOTS, 0)
decode = decoder_for(BookSnapshot)


@pytest.fixture
def desk() -> Desk:
    desk = Desk(INSTRUMENT)
    for n in range(1, 41):
        desk.enter(n, BUY, 1_000 - n, n)
    return desk


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "PART_LENGTH", 1_000)


def world_of(desk: Desk, *, every: int = 10, fork_above: int = 1_000_000) -> World:
    settings = MatcherSettings(
        redis=NO_REDIS, snapshot_every_records=every, snapshot_fork_above=fork_above, snapshot_every_s=1e9
    )
    world = World(settings)
    world.feed(desk)
    return world


def keys(world: World) -> list[str]:
    return [(record.key or b"").decode() for record in world.broker.records[SOURCE]]


def heads(world: World) -> list[BookSnapshot]:
    values = [r.value for r in world.broker.records[SOURCE] if (r.key or b"").count(b"/") == 1]
    return [decode(value) for value in values]


def compact(world: World) -> None:
    """Keep the last record of each key, as the broker will."""
    last = {record.key: record for record in world.broker.records[SOURCE]}
    kept = sorted(last.values(), key=lambda record: record.offset)
    world.broker.records[SOURCE] = [
        Record(BOOK_SNAPSHOTS, 0, place, record.value, record.key) for place, record in enumerate(kept)
    ]


def wait_until(process: Process, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, "no snapshot came"
        process.handler.idle()


def test_every_owner_takes_snapshots_after_the_same_records(desk: Desk) -> None:
    found = []
    for most in (7, 1, 40):
        world = world_of(desk)
        process = world.start()
        while process.step(most):
            pass
        found.append([(head.sequence, head.book_hash, head.checksum) for head in heads(world)])
        assert keys(world) == ["BTCUSDT/0", "BTCUSDT/1"] * 2
    assert [sequence for sequence, *_ in found[0]] == [10, 20, 30, 40]
    assert found[0] == found[1] == found[2]
    assert found[0][-1][1] == desk.engine.book_hash()


@pytest.mark.usefixtures("in_parts")
def test_long_state_is_written_in_parts_and_put_together(desk: Desk) -> None:
    world = world_of(desk, every=40)
    world.run()
    (head,) = heads(world)
    assert keys(world) == [*(f"BTCUSDT/0/{n}" for n in range(head.parts)), "BTCUSDT/0"]
    assert head.parts > 3
    world.broker.truncate(INPUT, 40)
    assert world.run().engine().state() == desk.engine.state()


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("left", range(1, 5))
def test_snapshot_broken_off_leaves_the_one_before(desk: Desk, left: int) -> None:
    world = world_of(desk, every=20)
    world.run()
    old, new = heads(world)
    del world.broker.records[SOURCE][old.parts + 1 + left :]
    compact(world)
    world.broker.truncate(INPUT, 20)
    assert new.sequence == 40
    process = world.start()
    assert process.engine().state() == desk.engine.state()
    assert process.engine().sequence == 40


@pytest.mark.usefixtures("in_parts")
def test_overwritten_slot_is_not_mixed_with_what_is_left_of_it(desk: Desk) -> None:
    world = world_of(desk, every=10)
    world.run()
    records = world.broker.records[SOURCE]
    last = next(n for n in reversed(range(len(records))) if records[n].key == b"BTCUSDT/1/0")
    del records[last + 1 :]  # the fourth snapshot has begun to overwrite the second
    compact(world)
    world.broker.truncate(INPUT, 30)
    assert world.start().engine().sequence == 40


@pytest.mark.parametrize("old", [b'"part":1', b"order"])
@pytest.mark.usefixtures("in_parts")
def test_damaged_part_gives_way_to_the_snapshot_before(desk: Desk, old: bytes) -> None:
    world = world_of(desk, every=20)
    world.run()
    records = world.broker.records[SOURCE]
    place = next(n for n in reversed(range(len(records))) if records[n].key == b"BTCUSDT/1/1")
    value = records[place].value
    damaged = value.replace(b'"part":1', b'"part":2') if old == b'"part":1' else value[:-40] + value[-20:]
    records[place] = Record(BOOK_SNAPSHOTS, 0, place, damaged, records[place].key)
    world.broker.truncate(INPUT, 20)
    assert world.start().engine().state() == desk.engine.state()


def test_wrong_book_hash_is_not_used(desk: Desk) -> None:
    world = world_of(desk, every=40)
    world.run()
    record = world.broker.records[SOURCE][-1]
    taken = decode(record.value)
    fields = {f: getattr(taken, f) for f in taken.__struct_fields__} | {"book_hash": "0" * 32}
    world.broker.records[SOURCE] = [Record(BOOK_SNAPSHOTS, 0, 0, encode(BookSnapshot(**fields)), record.key)]
    assert world.start().engine().state() == desk.engine.state()  # by replay
    world.broker.truncate(INPUT, 40)
    with pytest.raises(PositionLost):
        world.start()


def test_snapshot_of_another_partition_is_not_used(desk: Desk) -> None:
    world = world_of(desk, every=40)
    world.run()
    record = world.broker.records[SOURCE][-1]
    moved = record.value.replace(b'"input_partition":0', b'"input_partition":1', 1)
    world.broker.records[SOURCE] = [Record(BOOK_SNAPSHOTS, 0, 0, moved, record.key)]
    world.broker.truncate(INPUT, 40)
    with pytest.raises(PositionLost):
        world.start()


def test_child_writes_what_would_have_been_written_in_place(desk: Desk) -> None:
    worlds = [world_of(desk, every=40, fork_above=above) for above in (0, 1_000)]
    forked_one, in_place = worlds
    process = forked_one.run()
    in_place.run()
    wait_until(process, lambda: len(forked_one.broker.records[SOURCE]) > 0)
    assert forked_one.broker.records[SOURCE] == in_place.broker.records[SOURCE]


def test_matching_goes_on_beside_the_child(desk: Desk) -> None:
    world = world_of(desk, every=40, fork_above=0)
    process = world.run()
    more = Desk(INSTRUMENT, desk.engine)
    world.write(encode(more.order(100, BUY, 5, 1, source_offset=100, event_id="more")))
    process.drain()
    wait_until(process, lambda: bool(world.broker.records[SOURCE]))
    assert process.engine().sequence == 41
    assert heads(world)[0].sequence == 40


def test_without_a_child_it_is_written_in_place(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fork() -> int:
        raise OSError("no memory")

    monkeypatch.setattr(forked.os, "fork", no_fork)
    world = world_of(desk, every=40, fork_above=0)
    world.run()
    assert [head.sequence for head in heads(world)] == [40]


def test_child_that_fails_leaves_no_snapshot(desk: Desk, tmp_path: Path) -> None:
    child = forked.fork(lambda out: (tmp_path / "missing" / "file").write_text("x"))
    assert child is not None
    while not child.ended():
        pass
    assert child.failed
    child.out.close()
