"""The fleet's orders: seeded, tradable, bounded, and away from quiet books."""

from __future__ import annotations

import random
from itertools import pairwise

from schemas.instruments import load_instruments
from schemas.money import parse_decimal
from tapehouse.demo.fleet_plan import MAKERS, QUOTES_A_SIDE, TAKERS, FleetPlan, Market, Place
from tapehouse.demo.random_walk import RandomWalk
from tapehouse.usual_prices import USUAL_PRICES

INSTRUMENTS = load_instruments()


def plan(seed: int = 1) -> FleetPlan:
    rng = random.Random(seed)
    markets = {}
    for symbol, instrument in INSTRUMENTS.symbols.items():
        anchor = parse_decimal(USUAL_PRICES[symbol], 8) // instrument.tick_e8
        unit = 2_500 if instrument.quote.name == "BTC" else 10**8
        markets[symbol] = Market(instrument, RandomWalk(rng, anchor), unit)
    return FleetPlan(rng, markets, "run")


def placed(count: int, seed: int = 1) -> list[Place]:
    fleet = plan(seed)
    return [place for place, _ in (fleet.next() for _ in range(count)) if place is not None]


def test_every_symbol_of_the_exchange_has_a_usual_price() -> None:
    assert set(USUAL_PRICES) == set(INSTRUMENTS.symbols)


def test_same_seed_gives_the_same_orders() -> None:
    assert placed(200) == placed(200)
    assert placed(200) != placed(200, seed=2)


def test_every_order_passes_the_filters() -> None:
    for place in placed(2_000):
        instrument = INSTRUMENTS[place.symbol]
        ticks, rest = divmod(parse_decimal(place.price, 8), instrument.tick_e8)
        lots, rest_lots = divmod(parse_decimal(place.quantity, 8), instrument.lot_e8)
        assert (rest, rest_lots) == (0, 0)
        assert instrument.min_quantity_lots <= lots <= instrument.max_quantity_lots
        assert instrument.min_price_ticks <= ticks <= instrument.max_price_ticks
        assert instrument.notional_minor(ticks, lots) >= instrument.min_notional_minor


def test_makers_quote_and_takers_cross() -> None:
    places = placed(1_000)
    assert {p.account for p in places if p.taking} == set(TAKERS)
    assert {p.account for p in places if not p.taking} == set(MAKERS)
    assert {p.parameters()["type"] for p in places if not p.taking} == {"LIMIT_MAKER"}
    assert len({p.client_order_id for p in places}) == 1_000


def test_open_quotes_stay_few() -> None:
    fleet, open_ids = plan(), set()
    for _ in range(2_000):
        place, oldest = fleet.next()
        if oldest is not None:
            open_ids.remove(oldest.client_order_id)
        if place is not None and not place.taking:
            open_ids.add(place.client_order_id)
        assert len(open_ids) <= QUOTES_A_SIDE * 2 * len(INSTRUMENTS.symbols)


def test_quiet_symbols_are_left_alone() -> None:
    fleet = plan()
    quiet = {"BTCUSDT", "ETHBTC"}
    places = [place for place, _ in (fleet.next(quiet) for _ in range(300)) if place is not None]
    assert {place.symbol for place in places} == {"ETHUSDT", "SOLUSDT"}
    assert fleet.next(set(INSTRUMENTS.symbols)) == (None, None)


def test_forgotten_quotes_are_not_canceled_again() -> None:
    fleet = plan()
    for _ in range(300):
        fleet.next()
    for symbol in INSTRUMENTS.symbols:
        fleet.forget(symbol)
    assert [oldest for _, oldest in (fleet.next() for _ in range(4))] == [None] * 4


def test_walk_wanders_in_small_steps_and_comes_back() -> None:
    walk = RandomWalk(random.Random(3), 3_940_000, 4_400_000)
    path = [walk.step() for _ in range(4_000)]
    assert max(abs(a - b) for a, b in pairwise(path)) < 2_000
    assert abs(path[-1] - 3_940_000) < 40_000
    assert len(set(path)) > 3_000
    assert RandomWalk(random.Random(3), 1, 1).step() >= 1
