"""A standby beside an owner on a log in memory: who writes, when, and what readers see."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.settings import MatcherSettings, StandbySettings
from matcher.standby import StandbyHandler
from schemas.codec import decoder_for, encode
from schemas.events import DeadLetter, PartitionClaimed
from schemas.instruments import load_instruments
from schemas.topics import (
    DEAD_LETTERS,
    MATCHED_EVENTS,
    MATCHER_CLAIMS,
    ORDER_REPLIES,
    TRADE_EXECUTION,
    VALIDATED_ORDERS,
)
from service_runtime.errors import ChainBroken, Fenced
from service_runtime.event_log import TopicPartition
from service_runtime.hot_book import HotBook
from tests.examples import examples
from tests.unit.matcher.orders import BUY, INSTRUMENT, SELL, Desk
from tests.unit.matcher.world import NO_REDIS, Died, MortalLog, Process, World, expected, two_symbols

OUTPUT = TopicPartition(MATCHED_EVENTS, 0)
SOURCES = [TopicPartition(topic, 0) for topic in StandbyHandler.topics]


class Standby:
    """Follows partition 0 of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.clock.advance(0.001)
        self.log = MortalLog(world.broker)
        own = StandbySettings(redis=NO_REDIS, topics_file=world.settings.topics_file)
        self.handler = StandbyHandler(own, self.log, HotBook(NO_REDIS), world.clock)
        self.log.assign(self.handler.on_assigned(SOURCES))

    @property
    def leads(self) -> bool:
        return self.handler.leads(0)

    def step(self, most: int = 7) -> None:
        batch = self.log.poll(most, 0)
        if batch:
            self.handler.handle(batch)
        self.handler.idle()

    def look(self, seconds: float = 0.5) -> None:
        """Poll every 10 ms, for so long."""
        for _ in range(round(seconds * 100)):
            self.world.clock.advance(0.01)
            self.step()


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


def more(world: World, desk: Desk, number: int) -> None:
    """Give the input some orders that trade."""
    for _ in range(number):
        n = len(desk.inputs) + 1
        desk.enter(n, SELL if n % 2 else BUY, 100, 1, reply_partition=n % 3)
        world.write(encode(desk.inputs[-1].command))


def claims(world: World) -> list[bool]:
    """Return of each claim whether it is a standby's."""
    decode = decoder_for(PartitionClaimed)
    return [decode(value).standby for value in world.broker.values(MATCHER_CLAIMS)]


def check(world: World, desk: Desk) -> None:
    assert world.history() == expected(desk)
    assert world.trades() == list(range(1, desk.engine.trade_id + 1))


def restart(world: World) -> Process:
    world.clock.advance(0.001)
    return world.run()


def test_standby_of_an_owner_at_work_writes_nothing(world: World, desk: Desk) -> None:
    owner, standby = world.run(), Standby(world)
    for _ in range(20):
        more(world, desk, 3)
        owner.drain()
        standby.look(0.1)
    assert not standby.leads
    assert claims(world) == [False]
    assert len(world.broker.records[OUTPUT]) == 80
    check(world, desk)


def test_silent_owner_is_taken_over_and_nothing_is_missing(world: World, desk: Desk) -> None:
    world.run()
    standby = Standby(world)
    more(world, desk, 10)
    standby.look()
    assert standby.leads
    check(world, desk)
    more(world, desk, 10)
    standby.look(0.1)
    check(world, desk)
    assert claims(world) == [False, True]
    replies = world.broker.values(ORDER_REPLIES)
    assert set(replies) == set(expected(desk))


def test_nothing_waiting_nothing_taken_over(world: World) -> None:
    world.run()
    standby = Standby(world)
    standby.look(5)
    assert not standby.leads


def test_owner_that_was_killed_between_its_topics_is_taken_over(world: World, desk: Desk) -> None:
    with suppress(Died):
        world.run(appends=24)  # 20 records, then trades
    standby = Standby(world)
    standby.look()
    assert standby.leads
    check(world, desk)


def test_owner_that_is_back_claims_when_it_has_caught_up(world: World, desk: Desk) -> None:
    world.run()
    standby = Standby(world)
    more(world, desk, 10)
    standby.look()
    world.clock.advance(0.001)
    owner = world.start()
    standby.look(0.1)
    assert standby.leads
    owner.handler.idle()
    standby.look(0.1)
    assert not standby.leads
    more(world, desk, 5)
    owner.drain()
    standby.look(1)
    assert not standby.leads
    assert claims(world) == [False, True, False]
    check(world, desk)


def test_frozen_owner_that_wakes_up_claims_again(world: World, desk: Desk) -> None:
    owner = world.run()
    standby = Standby(world)
    more(world, desk, 10)
    standby.look()
    assert standby.leads
    world.clock.advance(2)
    owner.drain()
    world.clock.advance(2)
    more(world, desk, 1)
    owner.drain()
    owner.handler.idle()
    assert claims(world) == [False, True, False]
    standby.look(0.1)
    assert not standby.leads
    check(world, desk)


def test_second_matcher_of_a_partition_ends_the_first_with_clear_words(world: World, desk: Desk) -> None:
    first = world.run()
    second = restart(world)
    more(world, desk, 3)
    second.drain()
    first.drain()
    world.clock.advance(2)
    with pytest.raises(
        Fenced, match=r"partition 0: matcher-0-[0-9]+ has claimed what matcher-0-[0-9]+ works"
    ):
        first.handler.idle()
    world.clock.advance(2)
    more(world, desk, 3)
    second.drain()
    second.handler.idle()
    check(world, desk)


def test_old_claim_that_is_read_late_does_not_end_a_take_over(world: World, desk: Desk) -> None:
    world.run()
    standby = Standby(world)
    more(world, desk, 10)
    world.broker.write(MATCHER_CLAIMS, 0, world.broker.values(MATCHER_CLAIMS)[0])
    standby.handler.handle([r for r in standby.log.poll(100, 0) if r.topic == VALIDATED_ORDERS])
    standby.log.assign(dict.fromkeys(SOURCES, 0) | {SOURCES[3]: 1} | {SOURCES[0]: 20})
    standby.handler.handle([])
    while not standby.leads:
        world.clock.advance(0.01)
        standby.handler.idle()
    standby.look(0.2)
    assert standby.leads


def test_owner_that_is_back_may_be_ahead_of_who_stood_in(world: World, desk: Desk) -> None:
    """Of three topics the standby has read its claim and its output before the input that it came from."""
    world.run()
    standby = Standby(world)
    more(world, desk, 3)
    standby.look()
    assert standby.leads
    more(world, desk, 4)
    owner = restart(world)
    inputs = standby.log.poll(1000, 0)
    standby.handler.handle([r for r in inputs if r.topic != VALIDATED_ORDERS])
    assert not standby.leads
    more(world, desk, 1)
    owner.drain()
    inputs += (later := standby.log.poll(1000, 0))
    standby.handler.handle([r for r in later if r.topic != VALIDATED_ORDERS])
    standby.handler.handle([r for r in inputs if r.topic == VALIDATED_ORDERS])
    standby.look()
    assert not standby.leads
    check(world, desk)


def test_owner_that_writes_something_else_stops_the_standby(world: World, desk: Desk) -> None:
    owner = world.run()
    standby = Standby(world)
    more(world, desk, 3)
    owner.drain()
    records = world.broker.records[OUTPUT]
    last = records[-1]
    records[-1] = type(last)(
        last.topic, 0, last.offset, last.value.replace(b'"account_id"', b'"x":1,"account_id"', 1), last.key
    )
    with pytest.raises(ChainBroken, match=r"matched-events\[0\] 22: BTCUSDT sequence 23: the standby made"):
        standby.look()


def test_output_ahead_of_the_standby_is_compared_too(world: World, desk: Desk) -> None:
    owner = world.run()
    standby = Standby(world)
    more(world, desk, 3)
    owner.drain()
    batch = standby.log.poll(100, 0)
    records = [r for r in batch if r.topic != VALIDATED_ORDERS]
    standby.handler.handle(records)
    standby.handler.handle([r for r in batch if r.topic == VALIDATED_ORDERS])
    standby.look(1)
    assert not standby.leads
    shown = records[0]
    other = type(shown)(
        shown.topic,
        0,
        shown.offset,
        shown.value.replace(b'"account_id"', b'"x":1,"account_id"', 1),
        shown.key,
    )
    with pytest.raises(ChainBroken, match="sequence 21"):
        standby.handler.handle([other])


def test_poison_under_way_is_buried_by_who_takes_over(world: World, desk: Desk) -> None:
    world.run()
    standby = Standby(world)
    world.write(b"garbage")
    more(world, desk, 1)
    standby.look()
    letters = [decoder_for(DeadLetter)(value) for value in world.broker.values(DEAD_LETTERS)]
    assert [letter.source_offset for letter in letters] == [20]


def test_symbols_of_one_partition_are_followed_together(tmp_path: Path) -> None:
    world = World(two_symbols(tmp_path))
    one, two = Desk(INSTRUMENT), Desk(load_instruments()["ETHUSDT"])
    world.run()
    standby = Standby(world)
    for n in range(1, 7):
        for desk in (one, two):
            desk.enter(n, SELL if n % 2 else BUY, 100, n)
            world.write(encode(desk.inputs[-1].command))
    with suppress(Died):
        world.run(appends=8)
    standby.look()
    assert standby.leads
    assert len(world.history()) == 12
    assert world.last_trade("BTCUSDT") == world.last_trade("ETHUSDT") == one.engine.trade_id


def test_standby_that_loses_its_partition_goes_on_from_memory(world: World, desk: Desk) -> None:
    world.run()
    standby = Standby(world)
    more(world, desk, 3)
    standby.look()
    standby.handler.on_revoked(SOURCES)
    more(world, desk, 3)
    world.broker.truncate(TopicPartition(VALIDATED_ORDERS, 0), 23)
    standby.log.assign(standby.handler.on_assigned(SOURCES))
    standby.look()
    check(world, desk)


def test_snapshots_of_a_leading_standby_serve_the_owner(world: World, desk: Desk) -> None:
    world.run()
    standby = Standby(world)
    more(world, desk, 3)
    standby.look()
    standby.handler.close()
    world.broker.truncate(TopicPartition(VALIDATED_ORDERS, 0), 23)
    assert restart(world).engine().state() == desk.engine.state()


ACTS = st.lists(
    st.sampled_from(["input", "input", "owner", "standby", "kill owner", "kill standby", "wait", "zombie"]),
    max_size=60,
)


@examples(20)
@given(acts=ACTS, dies=st.integers(1, 60))
def test_whatever_dies_or_wakes_up_readers_see_one_history(acts: list[str], dies: int) -> None:
    """An owner may die between any two records; one that was given up for dead may wake up and write on."""
    world, desk = World(MatcherSettings(redis=NO_REDIS)), Desk(INSTRUMENT)
    owner, standby = world.start(appends=dies), Standby(world)
    zombie: Process | None = None
    for act in acts:
        world.clock.advance(0.005)
        if act == "input":
            more(world, desk, 2)
        elif act == "kill owner":
            zombie, owner = owner, world.start()
        elif act == "kill standby":
            standby = Standby(world)
        elif act == "wait":
            standby.look(0.2)
        elif act == "standby":
            standby.step()
        else:
            process = zombie if act == "zombie" else owner
            try:
                if process is not None:
                    process.step(3)
            except (Died, Fenced):
                if process is owner:
                    owner = world.start()
                else:
                    zombie = None
        world.history()
    more(world, desk, 1)
    standby.look(1)
    check(world, desk)
    restart(world).handler.idle()
    standby.look(0.1)
    assert not standby.leads
    check(world, desk)
    assert len(world.broker.values(TRADE_EXECUTION)) >= desk.engine.trade_id
