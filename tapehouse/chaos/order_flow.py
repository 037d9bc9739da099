"""What the fleet of a chaos run sends next; pure, and the same for the same seed.

It goes round the symbols, so that each of them trades all the time: a fault's end is seen in a trade.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from schemas.instruments import Instrument
from schemas.orders import Side
from tapehouse.demo.random_walk import RandomWalk

Kind = Literal["place", "cancel"]
LEVELS: Final = 20
MOST_QUOTES: Final = 10
"""Of a symbol and side; the oldest is canceled or replaced beyond it."""
RESTING, CROSSING, MARKET, REPLACE = 0.40, 0.35, 0.10, 0.10
"""Shares of what is sent; the rest are cancels of orders that may be gone."""
NOTIONALS: Final = (20, 200)


@dataclass(frozen=True, slots=True)
class Act:
    """One request, and how the journal names it."""

    kind: Kind
    account: int
    """Index among the fleet's accounts."""
    symbol: str
    client_order_id: str
    method: str
    path: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Market:
    instrument: Instrument
    walk: RandomWalk
    unit: int
    """Quote minor units that count as one of a quote asset like USDT."""

    @classmethod
    def around(cls, instrument: Instrument, rng: random.Random, ticks: int) -> Market:
        unit = 10**instrument.quote.scale // (40_000 if instrument.quote.name == "BTC" else 1)
        return cls(instrument, RandomWalk(rng, ticks), unit)


@dataclass(frozen=True, slots=True)
class _Quote:
    account: int
    client_order_id: str


class OrderFlow:
    def __init__(self, rng: random.Random, markets: Mapping[str, Market], accounts: int, run: str) -> None:
        self._rng = rng
        self._markets = tuple(markets.values())
        self._accounts = accounts
        self._run = run
        self._number = 0
        self.symbols = tuple(markets)
        self._quotes: dict[tuple[str, Side], deque[_Quote]] = {
            (symbol, side): deque() for symbol in markets for side in Side
        }

    def next(self) -> Act:
        market = self._markets[self._number % len(self._markets)]
        self._number += 1
        side, dice = self._rng.choice(list(Side)), self._rng.random()
        quotes = self._quotes[market.instrument.symbol, side]
        if len(quotes) >= MOST_QUOTES:
            return self._replace(market, side) if dice < 0.3 else self._cancel(market, side)
        if dice < RESTING:
            return self._rest(market, side)
        dice -= RESTING
        if dice < CROSSING:
            return self._cross(market, side)
        dice -= CROSSING
        if dice < MARKET or not quotes:
            return self._market(market, side)
        return self._replace(market, side) if dice - MARKET < REPLACE else self._cancel(market, side)

    # -- the five kinds -------------------------------------------------------------------------

    def _rest(self, market: Market, side: Side) -> Act:
        account = self._account()
        parameters = self._limit(market, side, self._quote_ticks(market, side), "GTC")
        return self._remembered(side, self._place(market, account, side, parameters))

    def _cross(self, market: Market, side: Side) -> Act:
        reach = LEVELS * 2 if side is Side.BUY else -LEVELS * 2
        force = self._rng.choice(("IOC", "IOC", "FOK"))
        parameters = self._limit(market, side, max(market.walk.ticks + reach, 1), force)
        return self._place(market, self._account(), side, parameters)

    def _market(self, market: Market, side: Side) -> Act:
        quantity = self._quantity(market, market.walk.ticks)
        return self._place(market, self._account(), side, {"type": "MARKET", "quantity": quantity})

    def _replace(self, market: Market, side: Side) -> Act:
        symbol = market.instrument.symbol
        old = self._quotes[symbol, side].popleft()
        parameters = self._limit(market, side, self._quote_ticks(market, side), "GTC") | {
            "cancelReplaceMode": "STOP_ON_FAILURE",
            "cancelOrigClientOrderId": old.client_order_id,
        }
        act = self._place(market, old.account, side, parameters, "/api/v3/order/cancelReplace")
        return self._remembered(side, act)

    def _cancel(self, market: Market, side: Side) -> Act:
        symbol = market.instrument.symbol
        old, own = self._quotes[symbol, side].popleft(), self._client_id()
        parameters = {
            "symbol": symbol,
            "origClientOrderId": old.client_order_id,
            "newClientOrderId": own,
        }
        return Act("cancel", old.account, symbol, own, "DELETE", "/api/v3/order", parameters)

    # -- inside ---------------------------------------------------------------------------------

    def _place(
        self,
        market: Market,
        account: int,
        side: Side,
        parameters: Mapping[str, str],
        path: str = "/api/v3/order",
    ) -> Act:
        own, symbol = self._client_id(), market.instrument.symbol
        whole = {
            "symbol": symbol,
            "side": side.value,
            **parameters,
            "newClientOrderId": own,
            "newOrderRespType": "FULL",
        }
        return Act("place", account, symbol, own, "POST", path, whole)

    def _remembered(self, side: Side, act: Act) -> Act:
        self._quotes[act.symbol, side].append(_Quote(act.account, act.client_order_id))
        return act

    def _limit(self, market: Market, side: Side, ticks: int, force: str) -> dict[str, str]:
        price, quantity = market.instrument.price_text(ticks), self._quantity(market, ticks)
        return {"type": "LIMIT", "timeInForce": force, "price": price, "quantity": quantity}

    def _quote_ticks(self, market: Market, side: Side) -> int:
        away = self._rng.randint(1, LEVELS)
        middle = market.walk.step()
        return max(middle - away, 1) if side is Side.BUY else middle + away

    def _quantity(self, market: Market, ticks: int) -> str:
        instrument = market.instrument
        lots = self._rng.randint(*NOTIONALS) * market.unit // instrument.notional_minor(ticks, 1)
        return instrument.quantity_text(max(lots, instrument.min_quantity_lots))

    def _account(self) -> int:
        return self._rng.randrange(self._accounts)

    def _client_id(self) -> str:
        return f"{self._run}-{self._number}"
