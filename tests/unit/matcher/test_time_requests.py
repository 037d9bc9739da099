from __future__ import annotations

from schemas.codec import decoder_for, encode
from schemas.commands import RequestTick
from schemas.orders import MarketState
from schemas.topics import ORDER_REQUESTS
from tests.unit.matcher.orders import T0, Desk
from tests.unit.matcher.world import Process, World

S = 1_000_000_000


def asked(world: World) -> list[int]:
    decode = decoder_for(RequestTick)
    return [decode(value).occurred_at_ns - T0 for value in world.broker.values(ORDER_REQUESTS)]


def process_in(world: World, state: MarketState, until_s: int | None) -> Process:
    desk = Desk()
    until_ns = None if until_s is None else T0 + until_s * S
    desk.set_state(state, until_ns=until_ns)
    world.write(encode(desk.inputs[0].command))
    return world.run()


def seconds(world: World, process: Process, number: int) -> None:
    for _ in range(number):
        world.clock.advance(1)
        process.handler.idle()


def test_halt_asks_when_its_time_has_come() -> None:
    world = World()
    process = process_in(world, MarketState.HALT, until_s=3)
    seconds(world, process, 2)
    assert asked(world) == []
    seconds(world, process, 2)
    assert asked(world) == [3 * S, 4 * S]


def test_auction_asks_every_second_for_its_indicative_price() -> None:
    world = World()
    process = process_in(world, MarketState.AUCTION, until_s=60)
    seconds(world, process, 2)
    assert asked(world) == [1 * S, 2 * S]


def test_other_states_ask_for_nothing() -> None:
    for state, until_s in ((MarketState.TRADING, None), (MarketState.HALT, None), (MarketState.BREAK, None)):
        world = World()
        process = process_in(world, state, until_s)
        seconds(world, process, 3)
        assert asked(world) == []
