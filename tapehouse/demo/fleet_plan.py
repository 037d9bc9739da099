"""What the fleet does next; pure, and the same for the same seed.

Makers keep quotes on both sides of a wandering price; takers buy and sell a little against them.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from schemas.instruments import Instrument
from schemas.orders import Side
from tapehouse.demo.random_walk import RandomWalk

MAKERS = ("fleet-maker-1", "fleet-maker-2")
TAKERS = ("fleet-taker-1", "fleet-taker-2")
QUOTES_A_SIDE = 6
QUOTE_SHARE = 0.65
SPREAD_PPM = 100
"""Quotes lie between this and eight times this from the middle."""
NOTIONALS = (20, 400)


@dataclass(frozen=True)
class Quote:
    """A resting order of a maker, known by the client id it was sent with."""

    account: str
    symbol: str
    side: Side
    client_order_id: str


@dataclass(frozen=True)
class Place:
    account: str
    symbol: str
    side: Side
    price: str
    quantity: str
    client_order_id: str
    taking: bool

    def parameters(self) -> dict[str, str]:
        kind = {"type": "LIMIT", "timeInForce": "IOC"} if self.taking else {"type": "LIMIT_MAKER"}
        return {
            "symbol": self.symbol,
            "side": self.side.value,
            **kind,
            "quantity": self.quantity,
            "price": self.price,
            "newClientOrderId": self.client_order_id,
        }


@dataclass(frozen=True)
class Market:
    instrument: Instrument
    walk: RandomWalk
    unit: int
    """Quote minor units that count as one of a quote asset like USDT."""


class FleetPlan:
    def __init__(self, rng: random.Random, markets: Mapping[str, Market], run: str) -> None:
        self._rng = rng
        self._markets = markets
        self._run = run
        self._placed = 0
        self._quotes: dict[tuple[str, Side], deque[Quote]] = {
            (symbol, side): deque() for symbol in markets for side in Side
        }

    def next(self, quiet: Collection[str] = ()) -> tuple[Place | None, Quote | None]:
        """Return what to place and which quote to cancel first; nothing is done on a quiet symbol."""
        open_symbols = [symbol for symbol in self._markets if symbol not in quiet]
        if not open_symbols:
            return None, None
        market = self._markets[self._rng.choice(open_symbols)]
        side = self._rng.choice(list(Side))
        if self._rng.random() < QUOTE_SHARE:
            return self._quote(market, side)
        return self._take(market, side), None

    def forget(self, symbol: str) -> None:
        """All orders on the symbol were canceled."""
        for side in Side:
            self._quotes[symbol, side].clear()

    def _quote(self, market: Market, side: Side) -> tuple[Place, Quote | None]:
        middle = market.walk.step()
        step = max(middle * SPREAD_PPM // 1_000_000, 1)
        away = self._rng.randint(step, 8 * step)
        ticks = max(middle - away, 1) if side is Side.BUY else middle + away
        place = self._place(market, self._rng.choice(MAKERS), side, ticks, taking=False)
        quotes = self._quotes[place.symbol, side]
        oldest = quotes.popleft() if len(quotes) >= QUOTES_A_SIDE else None
        quotes.append(Quote(place.account, place.symbol, side, place.client_order_id))
        return place, oldest

    def _take(self, market: Market, side: Side) -> Place:
        reach = max(market.walk.ticks * SPREAD_PPM * 10 // 1_000_000, 10)
        ticks = market.walk.ticks + (reach if side is Side.BUY else -reach)
        return self._place(market, self._rng.choice(TAKERS), side, max(ticks, 1), taking=True)

    def _place(self, market: Market, account: str, side: Side, ticks: int, *, taking: bool) -> Place:
        instrument = market.instrument
        notional = self._rng.randint(*NOTIONALS) * market.unit
        lots = max(notional // instrument.notional_minor(ticks, 1), instrument.min_quantity_lots)
        self._placed += 1
        return Place(
            account,
            instrument.symbol,
            side,
            instrument.price_text(ticks),
            instrument.quantity_text(lots),
            f"{self._run}-{self._placed}",
            taking,
        )
