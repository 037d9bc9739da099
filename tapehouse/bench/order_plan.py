"""The orders of a benchmark: the same for the same seed; pure.

Every second order crosses. Per symbol the plan goes round: rest a BUY, cross with a SELL, rest a SELL,
cross with a BUY. A resting order has one unit, a crossing one half a unit or one and a half, so that
there are partial and double fills, and the depth of the book stays where the first orders put it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.instruments import Instrument
from schemas.orders import Side

LEVELS = 20
"""Resting orders lie within this many ticks of the middle; crossing ones reach past all of them."""
SEED_LEVELS = 10
SEED_UNITS = 50
UNIT_NOTIONAL = 20
"""A unit is worth about this much of a quote asset like USDT."""


@dataclass(frozen=True)
class PlannedOrder:
    account: int
    """Index among the benchmark's accounts."""
    symbol: str
    side: Side
    crossing: bool
    price: str
    quantity: str

    @property
    def time_in_force(self) -> str:
        return "IOC" if self.crossing else "GTC"


@dataclass(frozen=True)
class Market:
    """A symbol, its middle price and its unit."""

    instrument: Instrument
    middle_ticks: int
    unit_lots: int

    @classmethod
    def around(cls, instrument: Instrument, middle_ticks: int) -> Market:
        """Return a market whose unit is even, tradable, and worth about UNIT_NOTIONAL (in BTC: 1/40000th)."""
        target = (
            UNIT_NOTIONAL * 10**instrument.quote.scale // (40_000 if instrument.quote.name == "BTC" else 1)
        )
        wanted = target // instrument.notional_minor(middle_ticks, 1)
        least = -(-2 * instrument.min_notional_minor // instrument.notional_minor(middle_ticks, 1))
        lots = max(wanted, least, 2 * instrument.min_quantity_lots, 2)
        return cls(instrument, middle_ticks, lots + lots % 2)


class OrderPlan:
    """Makers are the first half of the accounts, takers the second, so that nobody trades with himself."""

    def __init__(self, markets: Sequence[Market], accounts: int, seed: int) -> None:
        if accounts < 2:
            raise ValueError("a benchmark needs two accounts at least")
        self._markets = tuple(markets)
        self._makers = accounts // 2
        self._takers = accounts - self._makers
        self._seed = seed

    def first_orders(self) -> list[PlannedOrder]:
        """Return what makes the book deep enough that every crossing order fills."""
        orders: list[PlannedOrder] = []
        for market in self._markets:
            for level in range(1, SEED_LEVELS + 1):
                for side in Side:
                    ticks = LEVELS + level if side is Side.SELL else -LEVELS - level
                    account = len(orders) % self._makers
                    orders.append(self._order(market, account, side, ticks, SEED_UNITS * market.unit_lots))
        return orders

    def orders(self) -> Iterator[PlannedOrder]:
        """Yield orders without end."""
        rng = random.Random(self._seed)
        number = 0
        while True:
            round_, place = divmod(number, len(self._markets))
            market, kind = self._markets[place], round_ % 4
            side = Side.BUY if kind in (0, 3) else Side.SELL
            if kind in (0, 2):
                ticks = rng.randint(1, LEVELS) * (1 if side is Side.SELL else -1)
                yield self._order(market, rng.randrange(self._makers), side, ticks, market.unit_lots)
            else:
                reach = 2 * (LEVELS + SEED_LEVELS)
                ticks = reach if side is Side.BUY else -reach
                halves = 1 if round_ // 4 % 2 == 0 else 3
                account = self._makers + rng.randrange(self._takers)
                yield self._order(market, account, side, ticks, market.unit_lots * halves // 2, crossing=True)
            number += 1

    def _order(
        self, market: Market, account: int, side: Side, ticks: int, lots: int, *, crossing: bool = False
    ) -> PlannedOrder:
        instrument = market.instrument
        price = instrument.price_text(market.middle_ticks + ticks)
        return PlannedOrder(account, instrument.symbol, side, crossing, price, instrument.quantity_text(lots))
