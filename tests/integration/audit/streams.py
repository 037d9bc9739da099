"""Random streams of every kind of request, over all three services in a random order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from schemas.orders import OrderListKind, OrderType, ReplaceMode, SelfTradePrevention, Side, TimeInForce
from tests.builders import (
    ALICE,
    BOB,
    amend_order,
    cancel_all_orders,
    cancel_list,
    cancel_order,
    market_order,
    place_list,
    place_order,
    profit_order,
    replace_order,
    requested_order,
    stop_order,
)
from tests.integration.ledger_world import Running, World

SYMBOLS = ("BTCUSDT", "ETHUSDT", "ETHBTC")
PRICES = {"BTCUSDT": 3_000_000, "ETHUSDT": 200_000, "ETHBTC": 6_000}
_MODES = (None, SelfTradePrevention.EXPIRE_TAKER, SelfTradePrevention.DECREMENT)


def fund(world: World) -> None:
    world.fund(USDT=20_000_000_000_000, BTC=100_000_000, ETH=1_000_000_000)


def random_request(rnd: random.Random, n: int) -> object:
    symbol, account_id = rnd.choice(SYMBOLS), rnd.choice((ALICE, BOB))
    named: dict[str, Any] = {"symbol": symbol, "account_id": account_id, "client_order_id": f"c-{n}"}
    named["reply_partition"] = n % 16 if n % 4 else None
    old = f"c-{rnd.randrange(max(n - 15, 0), max(n, 1))}"
    kind = rnd.random()
    if kind < 0.27:
        return _change(kind, old, named, rnd.randint(1, 200))
    side, price = rnd.choice((Side.BUY, Side.SELL)), PRICES[symbol] + rnd.randint(-40, 40)
    lots = rnd.randint(1, 500)
    if kind < 0.35:
        order = requested_order(client_order_id=f"c-{n}", side=side, price_ticks=price, quantity_lots=lots)
        named["client_order_id"] = f"x-{n}"
        mode = rnd.choice(list(ReplaceMode))
        return replace_order(order, **named, mode=mode, cancel_orig_client_order_id=old)
    if kind < 0.5:
        return _list(rnd, n, symbol, named)
    if kind < 0.6:
        by_quote = rnd.random() < 0.5
        return market_order(
            **named,
            side=side,
            quantity_lots=None if by_quote else lots,
            quote_quantity_minor=rnd.randint(1_000_000, 5_000_000_000) if by_quote else None,
        )
    maker = rnd.random() < 0.2
    return place_order(
        **named,
        side=side,
        order_type=OrderType.LIMIT_MAKER if maker else OrderType.LIMIT,
        time_in_force=TimeInForce.GTC if maker else rnd.choice(list(TimeInForce)),
        price_ticks=price,
        quantity_lots=lots,
        self_trade_prevention=rnd.choice(_MODES),
    )


def _change(kind: float, old: str, named: dict[str, Any], lots: int) -> object:
    if kind < 0.03:
        return cancel_all_orders(**named)
    if kind < 0.12:
        return cancel_order(**named, orig_client_order_id=old)
    if kind < 0.17:
        return cancel_list(**named, list_client_order_id=old)
    return amend_order(**named, orig_client_order_id=old, quantity_lots=lots)


def _list(rnd: random.Random, n: int, symbol: str, named: dict[str, Any]) -> object:
    price, lots = PRICES[symbol], rnd.randint(1, 300)
    kind = rnd.choice(list(OrderListKind))
    paid = kind in (OrderListKind.OPO, OrderListKind.OPOCO)
    quantity = None if paid else lots
    above = profit_order(
        client_order_id=f"a-{n}", price_ticks=price + rnd.randint(5, 60), quantity_lots=quantity
    )
    stop = price - rnd.randint(5, 60)
    below = stop_order(client_order_id=f"b-{n}", stop_price_ticks=stop, quantity_lots=quantity)
    working = requested_order(
        client_order_id=f"w-{n}", price_ticks=price + rnd.randint(-20, 30), quantity_lots=lots
    )
    legs = {
        OrderListKind.OCO: (above, below),
        OrderListKind.OTO: (working, above),
        OrderListKind.OTOCO: (working, above, below),
        OrderListKind.OPO: (working, above),
        OrderListKind.OPOCO: (working, above, below),
    }[kind]
    return place_list(kind, *legs, **named)


def drive(world: World, services: Sequence[Running], rnd: random.Random, first: int, steps: int) -> int:
    """Let the services run at any moment, each as far as it likes, then to the end; return the next one."""
    n = first
    for _ in range(steps):
        for _ in range(rnd.randint(1, 30)):
            world.request(random_request(rnd, n))
            n += 1
        world.clock.advance(rnd.random())
        rnd.choice(services).drain(max_batch=rnd.choice((3, 50, 500)))
    for service in services:
        service.drain()
    return n
