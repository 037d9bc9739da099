"""A matcher that dies between any two records it writes leaves one history for every reader."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest

from matcher.settings import MatcherSettings
from schemas.codec import encode
from tests.simulation.matcher.test_replay import random_desk
from tests.unit.matcher.world import NO_REDIS, Died, World, decode_matched, expected, two_symbols

SETTINGS = {
    "no snapshots": MatcherSettings(redis=NO_REDIS),
    "snapshots": MatcherSettings(redis=NO_REDIS, snapshot_every_records=20),
}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_deaths_at_random_leave_one_history(settings: MatcherSettings, seed: int) -> None:
    dice, desk, world = random.Random(seed), random_desk(seed, 250), World(settings)
    world.feed(desk)
    for _ in range(12):
        with suppress(Died):
            world.run(appends=dice.randint(0, 60))
    last = world.run()
    assert world.history() == expected(desk)
    assert world.trades() == list(range(1, desk.engine.trade_id + 1))
    assert last.engine().book_hash() == desk.engine.book_hash()


@pytest.mark.parametrize("seed", range(6))
def test_owners_at_once_are_harmless(seed: int) -> None:
    dice, desk = random.Random(seed), random_desk(seed, 200)
    world = World(SETTINGS["snapshots"])
    world.feed(desk)
    owners = [world.start(), world.start(), world.start()]
    while True:
        which = dice.randrange(3)
        if dice.random() < 0.1:
            owners[which] = world.start()
        if not owners[which].step(dice.randint(1, 20)):
            break
    for owner in owners:
        owner.drain()
    assert world.history() == expected(desk)
    assert world.trades() == list(range(1, desk.engine.trade_id + 1))
    assert len({owner.engine().state() for owner in owners}) == 1
    world.run()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("every", [20, 10_000])
def test_deaths_with_two_symbols_on_one_partition(tmp_path: Path, seed: int, every: int) -> None:
    dice, world = random.Random(seed), World(two_symbols(tmp_path, snapshot_every_records=every))
    desks = [random_desk(seed, 120), random_desk(seed + 100, 120, "ETHUSDT")]
    for pair in zip(*(desk.inputs for desk in desks), strict=True):
        for given in pair:
            world.write(encode(given.command))
    for _ in range(12):
        with suppress(Died):
            world.run(appends=dice.randint(0, 60))
    last = world.run()
    history = [decode_matched(v) for v in world.history()]
    for desk in desks:
        engine = last.engine(desk.instrument.symbol)
        assert engine.book_hash() == desk.engine.book_hash()
        assert [r.sequence for r in history if r.symbol == engine.symbol] == list(range(1, 121))
        assert world.last_trade(engine.symbol) == desk.engine.trade_id
