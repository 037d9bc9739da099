from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from schemas.codec import decoder_for, encode, record_hash
from schemas.events import BookSnapshot, DeadLetter
from schemas.instruments import load_instruments
from schemas.topics import BOOK_SNAPSHOTS, DEAD_LETTERS, MATCHED_EVENTS, ORDER_REPLIES, TRADE_EXECUTION
from service_runtime.errors import ChainBroken, PositionLost
from service_runtime.event_log import TopicPartition
from tests.unit.matcher.orders import BUY, INSTRUMENT, SELL, Desk
from tests.unit.matcher.world import INPUT, Died, World, decode_matched, expected, two_symbols

OUTPUT = TopicPartition(MATCHED_EVENTS, 0)


@pytest.fixture
def desk() -> Desk:
    desk = Desk(INSTRUMENT)
    for n in range(1, 21):
        desk.enter(n, SELL if n % 2 else BUY, 100, n, reply_partition=n % 3)
    return desk


@pytest.fixture
def world(desk: Desk) -> World:
    world = World()
    world.feed(desk)
    return world


def alter(world: World, index: int, old: bytes, new: bytes) -> None:
    records = world.broker.records[OUTPUT]
    value = records[index].value
    assert old in value
    records[index] = type(records[index])(MATCHED_EVENTS, 0, index, value.replace(old, new))


def test_output_that_replay_does_not_give_stops_the_start_and_names_it(world: World) -> None:
    world.run()
    alter(world, 5, b'"sequence":6', b'"sequence":6,"x":1')
    found = record_hash(world.broker.records[OUTPUT][5].value)
    with pytest.raises(
        ChainBroken, match=rf"matched-events\[0\] 5: BTCUSDT sequence 6: .* the log holds {found}"
    ):
        world.start()


def test_foreign_record_in_the_output_goes_to_dead_letters(world: World, desk: Desk) -> None:
    world.run()
    data = world.broker.records[OUTPUT][5].value
    for foreign in (b"garbage", data.replace(b'"BTCUSDT"', b'"ETHUSDT"')):
        world.broker.write(MATCHED_EVENTS, 0, foreign)
    world.broker.write(TRADE_EXECUTION, 0, b"garbage")
    world.start()
    letters = [decoder_for(DeadLetter)(v) for v in world.broker.values(DEAD_LETTERS)]
    assert [(letter.source_topic, letter.reason) for letter in letters] == [
        (MATCHED_EVENTS, "decode_error"),
        (MATCHED_EVENTS, "wrong_partition"),
    ]


def test_truncated_input_without_a_snapshot_stops_the_start(world: World) -> None:
    world.run()
    world.broker.truncate(INPUT, 3)
    with pytest.raises(PositionLost, match=r"validated-orders\[0\]: expected offset 0, found 3 to 20"):
        world.start()


def test_input_that_ends_before_the_output_stops_the_start(world: World) -> None:
    world.run()
    del world.broker.records[INPUT][15:]
    with pytest.raises(PositionLost, match=r"validated-orders\[0\]: expected offset 15, found end 15"):
        world.start()


def test_snapshot_makes_older_input_unnecessary(world: World, desk: Desk) -> None:
    world.run().handler.close()
    world.broker.truncate(INPUT, 20)
    desk.enter(50, BUY, 90, 1)
    world.write(encode(desk.inputs[-1].command))
    assert world.run().engine().state() == desk.engine.state()


def test_snapshot_that_differs_from_the_log_is_not_used(world: World, desk: Desk) -> None:
    world.run().handler.close()
    source = TopicPartition(BOOK_SNAPSHOTS, 0)
    record = world.broker.records[source][-1]
    snapshot = decoder_for(BookSnapshot)(record.value)
    wrong = "f" * 32
    state = snapshot.state.replace(snapshot.last_hash, wrong)
    forged = BookSnapshot(
        **{f: getattr(snapshot, f) for f in snapshot.__struct_fields__}
        | {"state": state, "checksum": record_hash(state.encode()), "last_hash": wrong}
    )
    world.broker.write(BOOK_SNAPSHOTS, 0, encode(forged), record.key)
    assert world.run().engine().book_hash() == desk.engine.book_hash()


def test_damaged_snapshot_gives_way_to_the_one_before(world: World, desk: Desk) -> None:
    world.run().handler.close()
    record = world.broker.records[TopicPartition(BOOK_SNAPSHOTS, 0)][-1]
    world.broker.write(
        BOOK_SNAPSHOTS, 0, record.value.replace(b'\\"sequence\\":20', b'\\"sequence\\":21'), record.key
    )
    world.broker.truncate(INPUT, 20)
    assert world.run().engine().book_hash() == desk.engine.book_hash()


def test_replies_of_the_last_part_are_sent_again(world: World) -> None:
    world.run()
    first = world.broker.values(ORDER_REPLIES)
    world.start()
    assert len(first) == 20
    assert sorted(world.broker.values(ORDER_REPLIES)) == sorted(first * 2)


def test_reply_is_the_record_and_goes_to_the_waiting_worker(world: World) -> None:
    world.run()
    for partition in range(3):
        for record in world.broker.records[TopicPartition(ORDER_REPLIES, partition)]:
            assert decode_matched(record.value).reply_partition == partition
    assert sorted(world.broker.values(ORDER_REPLIES)) == sorted(world.broker.values(MATCHED_EVENTS))


def test_lost_trades_are_written_though_the_tail_is_an_old_duplicate(world: World, desk: Desk) -> None:
    world.run()
    source = TopicPartition(TRADE_EXECUTION, 0)
    records = world.broker.records[source]
    old = records[0].value
    del records[4:]
    world.broker.write(TRADE_EXECUTION, 0, old)
    world.start()
    assert world.trades() == list(range(1, desk.engine.trade_id + 1))
    assert len(records) == 5 + desk.engine.trade_id - 4


def test_records_lost_behind_another_symbols_are_written(tmp_path: Path) -> None:
    world, one, two = World(two_symbols(tmp_path)), Desk(INSTRUMENT), Desk(load_instruments()["ETHUSDT"])
    for n in range(1, 7):
        for desk in (one, two):
            world.write(encode(desk.order(n, SELL, 100, n)))
    with suppress(Died):
        world.start(appends=8).step(most=12)  # six of the one, two of the other
    process = world.start()
    assert [process.engine(s).sequence for s in ("BTCUSDT", "ETHUSDT")] == [6, 5]
    assert len(world.history()) == 11
    assert len(world.broker.values(MATCHED_EVENTS)) == 11


def test_partition_that_comes_back_goes_on_from_memory(world: World, desk: Desk) -> None:
    process = world.run()
    process.handler.on_revoked([INPUT])
    more = [desk.order(50 + n, BUY, 90, 1) for n in range(5)]
    for order in more:
        world.write(encode(order))
    world.run()
    world.broker.truncate(INPUT, 20)
    process.log.assign(process.handler.on_assigned([INPUT]))
    assert process.engine().sequence == 25


def test_poison_goes_to_dead_letters_and_the_stream_goes_on(world: World, desk: Desk) -> None:
    good = encode(desk.order(50, BUY, 90, 1))
    for value in (
        b"",
        b"\xff\xfe",
        good.replace(b"BTCUSDT", b"ETHUSDT"),
        good.replace(b"BTCUSDT", b"NOSUCH"),
        good,
    ):
        world.write(value)
    process = world.run()
    assert process.engine().sequence == 21
    letters = [decoder_for(DeadLetter)(v) for v in world.broker.values(DEAD_LETTERS)]
    assert [(letter.source_offset, letter.reason) for letter in letters] == [
        (20, "decode_error"),
        (21, "decode_error"),
        (22, "wrong_partition"),
        (23, "validation_error"),
    ]
    assert world.history()[:20] == expected(desk)


def test_a_batch_broken_off_is_not_saved(world: World) -> None:
    process = world.start(appends=22)
    assert process.step()
    with pytest.raises(Died):
        process.step()
    process.log.appends_left = None
    process.handler.close()
    assert world.broker.values(BOOK_SNAPSHOTS) == []


def test_snapshot_ahead_of_the_log_is_not_used(world: World, desk: Desk) -> None:
    world.run().handler.close()
    del world.broker.records[OUTPUT][15:]
    assert world.run().engine().book_hash() == desk.engine.book_hash()
    assert world.history() == expected(desk)


def test_snapshot_of_an_owner_that_lags_behind_hides_no_output(world: World, desk: Desk) -> None:
    """It saw where the other one's output ended: what follows its own records stands before."""
    late = world.start()
    world.run()
    late.step(7)
    world.clock.advance(2)
    late.handler.idle()
    late.step(7)
    late.handler.close()
    next_one = world.start()
    assert next_one.engine().sequence == len(desk.inputs)
    assert len(world.broker.values(MATCHED_EVENTS)) == len(desk.inputs) + 14
