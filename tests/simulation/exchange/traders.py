"""Traders: every kind of request, close prices, few accounts, and what a client does not know sent again."""

from __future__ import annotations

import random
from typing import Any

from msgspec.structs import replace

from schemas import commands as c
from schemas.codec import encode
from schemas.events import AccountOpened, FundsDeposited
from schemas.instruments import Instruments
from schemas.orders import (
    MARKET_TYPES,
    STOP_TYPES,
    CancelRestriction,
    MarketState,
    OrderListKind,
    OrderType,
    ReplaceMode,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from schemas.topics import ACCOUNT_EVENTS, ORDER_REQUESTS, TopicMap, list_id_of, order_id_of
from tests.simulation.exchange.faults import Fault, Faults
from tests.simulation.exchange.scheduler import MS, SECOND, Scheduler
from tests.simulation.exchange.sim_log import SimBroker

ACCOUNTS = (1001, 1002, 1003, 1004)
MIDDLE = {"BTCUSDT": 3_000_000, "ETHUSDT": 200_000, "ETHBTC": 6_600}
STEP = {"BTCUSDT": 1_000, "ETHUSDT": 400, "ETHBTC": 5}
START = {"USDT": 40 * 10**9, "BTC": 2 * 10**6, "ETH": 2 * 10**8}
KINDS = [
    ("place", 50),
    ("place_list", 8),
    ("cancel", 10),
    ("cancel_all", 1),
    ("cancel_list", 2),
    ("replace", 8),
    ("amend", 5),
    ("market_state", 2),
]
_REMEMBERED = 24
_GARBAGE = (b"", b"\x00\xff", b"{}", b'{"type":"PlaceOrder.v1"}', b"[" * 200, b'{"type":"Nothing.v1","a":1}')


class Traders:
    """Send requests as ingest does: a request is acknowledged once it is stored."""

    def __init__(
        self,
        scheduler: Scheduler,
        broker: SimBroker,
        topics: TopicMap,
        instruments: Instruments,
        faults: Faults,
    ) -> None:
        self.acknowledged: list[tuple[int, int, bytes]] = []
        """(partition, offset, request) of every request that a client was told of."""
        self.sent = 0
        self._scheduler, self._broker, self._topics, self._faults = scheduler, broker, topics, faults
        self._dice: random.Random = scheduler.dice
        self._symbols = [s for s in topics.symbols if instruments.get(s) is not None]
        self._recent: list[tuple[int, str, str, int]] = []
        """(account, symbol, client order id, order id) of what was sent last."""
        self._lists: list[tuple[int, str, str, int]] = []
        self._again: list[Any] = []
        self._names = 0
        self._under_way = 0
        dice = scheduler.dice
        self._weights = [weight * dice.choice((0.4, 1, 1, 2.5)) for _, weight in KINDS]
        self._types = [OrderType.LIMIT] * dice.choice((6, 16, 30)) + [OrderType.MARKET] * 2 + list(OrderType)
        self._spread = dice.choice((2, 4, 8))
        self._lots = dice.choice((100, 1000))

    @property
    def quiet(self) -> bool:
        return not self._under_way

    def open_accounts(self) -> None:
        for account_id in ACCOUNTS:
            opened = AccountOpened(
                **self._envelope(f"a-{account_id}"),
                account_id=account_id,
                name=f"account {account_id}",
                maker_fee_ppm=self._dice.choice((0, 700)),
                taker_fee_ppm=self._dice.choice((700, 1_100)),
            )
            self._account_event(account_id, opened)
            for asset, amount in START.items():
                self.deposit(account_id, asset, amount)

    def deposit(self, account_id: int, asset: str, amount: int) -> None:
        """Deposit, now and then the same one twice."""
        self._names += 1
        name = f"d-{self._names}"
        deposit = FundsDeposited(
            **self._envelope(name), account_id=account_id, asset=asset, amount_minor=amount, deposit_id=name
        )
        for _ in range(self._dice.choice((1, 1, 1, 2))):
            self._account_event(account_id, deposit)

    def act(self) -> None:
        """Send something, and plan the next."""
        dice = self._dice
        self.sent += 1
        if self._again and dice.random() < 0.3:
            request = self._again.pop()
        elif dice.random() < 0.02:
            self.deposit(dice.choice(ACCOUNTS), dice.choice(list(START)), dice.randint(1, 10**6))
            return
        else:
            request = getattr(self, f"_{dice.choices([k for k, _ in KINDS], self._weights)[0]}")()
        self.send(request)

    def send(self, request: Any) -> None:
        """Hand the request to an ingest worker, a moment away."""
        self._under_way += 1
        self._scheduler.after(self._scheduler.between(0, 5 * MS), lambda: self._store(request))

    def open_markets(self) -> None:
        for symbol in self._symbols:
            self.send(self._state_request(symbol, MarketState.TRADING, None))

    def cancel_everything(self) -> None:
        for account_id in ACCOUNTS:
            for symbol in self._symbols:
                self.send(
                    c.CancelAllOrders(
                        **self._request(account_id, symbol), client_order_id=f"cancel-{self._names}"
                    )
                )

    def _store(self, request: Any) -> None:
        self._under_way -= 1
        unknown = self._faults.on and self._dice.random() < 0.03
        if unknown:  # the client gets no answer, and asks again by the same client order id
            self._faults.counts[Fault.REQUEST_UNKNOWN] += 1
            self._again.append(replace(request, event_id=f"{request.event_id}-again"))
            if self._dice.random() < 0.5:
                return
        partition = self._topics.partition_of_account(request.account_id)
        data = encode(request)
        offset = self._broker.write(ORDER_REQUESTS, partition, data, str(request.account_id).encode())
        if not unknown:
            self.acknowledged.append((partition, offset, data))
        if isinstance(request, c.PlaceOrder):
            self._remember(request, request.client_order_id, order_id_of(partition, offset))
        elif isinstance(request, c.ReplaceOrder):
            self._remember(request, request.order.client_order_id, order_id_of(partition, offset))
        elif isinstance(request, c.PlaceOrderList):
            for number, leg in enumerate(request.legs):
                self._remember(request, leg.client_order_id, order_id_of(partition, offset, number))
            listed = (request.account_id, request.symbol, request.client_order_id)
            self._lists = [*self._lists[-6:], (*listed, list_id_of(partition, offset))]

    def _remember(self, request: Any, client_order_id: str, order_id: int) -> None:
        self._recent = self._recent[1 - _REMEMBERED :]
        self._recent.append((request.account_id, request.symbol, client_order_id, order_id))

    def _account_event(self, account_id: int, event: AccountOpened | FundsDeposited) -> None:
        partition = self._topics.partition_of_account(account_id, ACCOUNT_EVENTS)
        self._broker.write(ACCOUNT_EVENTS, partition, encode(event), str(account_id).encode())

    # -- requests ---------------------------------------------------------------------------------

    def _envelope(self, name: str) -> dict[str, Any]:
        return {
            "event_id": name,
            "correlation_id": name,
            "causation_id": name,
            "occurred_at_ns": self._scheduler.now_ns,
        }

    def _request(self, account_id: int, symbol: str) -> dict[str, Any]:
        self._names += 1
        expires = self._scheduler.now_ns + 30 * SECOND if self._dice.random() < 0.1 else None
        return {
            **self._envelope(f"r-{self._names}"),
            "account_id": account_id,
            "symbol": symbol,
            "reply_partition": self._dice.choice((None, 0, 1)),
            "expires_at_ns": expires,
        }

    def _new(self) -> dict[str, Any]:
        symbol = "NOWHERE" if self._dice.random() < 0.005 else self._dice.choice(self._symbols)
        return self._request(self._dice.choice(ACCOUNTS), symbol)

    def _price(self, symbol: str) -> int:
        spread = self._spread
        return MIDDLE.get(symbol, 100) + self._dice.randint(-spread, spread) * STEP.get(symbol, 1)

    def _quantity(self) -> int:
        return self._dice.randint(1, self._lots)

    def _name(self, account_id: int, symbol: str) -> str:
        """Return a client order id, now and then one that was used."""
        used = [r[2] for r in self._recent if r[:2] == (account_id, symbol)]
        return self._dice.choice(used) if used and self._dice.random() < 0.06 else f"o-{self._names}"

    def _terms(self, outer: dict[str, Any], side: Side, kind: OrderType, lots: int | None) -> dict[str, Any]:
        dice, symbol = self._dice, outer["symbol"]
        self._names += 1
        limited = kind not in MARKET_TYPES
        timed = kind in (OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
        tif = dice.choice(list(TimeInForce)) if timed and dice.random() < 0.3 else TimeInForce.GTC
        terms: dict[str, Any] = {
            "side": side,
            "order_type": kind,
            "client_order_id": self._name(outer["account_id"], symbol),
            "time_in_force": tif,
            "quantity_lots": lots,
            "price_ticks": self._price(symbol) if limited else None,
            "self_trade_prevention": dice.choice([None, None, *SelfTradePrevention]),
        }
        if kind in STOP_TYPES:
            terms["stop_price_ticks"] = self._price(symbol)
            if dice.random() < 0.3:
                terms["trailing_delta_bips"] = dice.randint(10, 300)
        if limited and lots is not None and tif is TimeInForce.GTC and dice.random() < 0.2:
            terms["display_lots"] = dice.randint(1, lots)
        return terms

    def _one(self, outer: dict[str, Any], side: Side | None = None) -> dict[str, Any]:
        dice = self._dice
        kind = dice.choice(self._types)
        terms = self._terms(outer, side or dice.choice(list(Side)), kind, self._quantity())
        if kind is OrderType.MARKET and dice.random() < 0.4:
            terms |= {"quantity_lots": None, "quote_quantity_minor": dice.randint(10**5, 10**9)}
        return terms

    def _place(self) -> Any:
        outer = self._new()
        return c.PlaceOrder(**outer, **self._one(outer))

    def _place_list(self) -> Any:
        dice, outer = self._dice, self._new()
        kind = dice.choice(list(OrderListKind))
        paying = kind in (OrderListKind.OPO, OrderListKind.OPOCO)
        lots = self._quantity()
        side = Side.SELL if paying else dice.choice(list(Side))
        pending = None if paying else lots
        if kind in (OrderListKind.OTO, OrderListKind.OPO):
            legs = [self._terms(outer, side, dice.choice(list(OrderType)), pending)]
        else:
            legs = self._pair(outer, side, pending)
        if kind is not OrderListKind.OCO:
            working = Side.BUY if paying else dice.choice(list(Side))
            first = dice.choice((OrderType.LIMIT, OrderType.LIMIT_MAKER))
            legs.insert(0, self._terms(outer, working, first, lots))
        for number, leg in enumerate(legs):
            leg["client_order_id"] = f"{leg['client_order_id']}.{number}"
        made = tuple(c.RequestedOrder(**leg) for leg in legs)
        return c.PlaceOrderList(**outer, kind=kind, client_order_id=f"l-{self._names}", legs=made)

    def _pair(self, outer: dict[str, Any], side: Side, lots: int | None) -> list[dict[str, Any]]:
        dice, symbol = self._dice, outer["symbol"]
        profits = (OrderType.LIMIT_MAKER, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)
        stops = (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT)
        pair = [self._terms(outer, side, dice.choice(each), lots) for each in (profits, stops)]
        legs = pair if side is Side.SELL else pair[::-1]
        far = dice.randint(0, self._spread) * STEP.get(symbol, 1)
        for leg, sign in zip(legs, (1, -1), strict=True):
            for name in ("price_ticks", "stop_price_ticks"):
                if leg.get(name) is not None:
                    leg[name] = MIDDLE.get(symbol, 100) + sign * far
        return legs

    def _known(self) -> tuple[int, str, str, int]:
        if not self._recent:
            return (ACCOUNTS[0], self._symbols[0], "none", 1)
        return self._dice.choice(self._recent)

    def _naming(self, prefix: str, name: str, number: int) -> dict[str, Any]:
        by_number = self._dice.random() < 0.5
        return {f"{prefix}order_id": number} if by_number else {f"{prefix}orig_client_order_id": name}

    def _cancel(self) -> Any:
        account_id, symbol, name, number = self._known()
        outer = self._request(account_id, symbol)
        return c.CancelOrder(
            **outer,
            client_order_id=f"cancel-{self._names}",
            **self._naming("", name, number),
            restriction=self._dice.choice([None, None, *CancelRestriction]),
        )

    def _cancel_all(self) -> Any:
        return c.CancelAllOrders(**self._new(), client_order_id=f"cancel-{self._names}")

    def _cancel_list(self) -> Any:
        if not self._lists:
            return self._cancel()
        account_id, symbol, name, number = self._dice.choice(self._lists)
        named = {"list_id": number} if self._dice.random() < 0.5 else {"list_client_order_id": name}
        return c.CancelOrderList(
            **self._request(account_id, symbol), client_order_id=f"cancel-{self._names}", **named
        )

    def _replace(self) -> Any:
        account_id, symbol, name, number = self._known()
        outer = self._request(account_id, symbol)
        return c.ReplaceOrder(
            **outer,
            client_order_id=f"cancel-{self._names}",
            mode=self._dice.choice(list(ReplaceMode)),
            order=c.RequestedOrder(**self._one(outer)),
            **self._naming("cancel_", name, number),
            restriction=self._dice.choice([None, None, *CancelRestriction]),
        )

    def _amend(self) -> Any:
        account_id, symbol, name, number = self._known()
        return c.AmendOrder(
            **self._request(account_id, symbol),
            client_order_id=f"o-{self._names}",
            quantity_lots=self._quantity(),
            **self._naming("", name, number),
        )

    def _market_state(self) -> Any:
        state = self._dice.choice((MarketState.TRADING, MarketState.AUCTION, MarketState.HALT))
        until = self._scheduler.now_ns + self._scheduler.between(0, SECOND)
        return self._state_request(self._dice.choice(self._symbols), state, self._dice.choice((None, until)))

    def _state_request(self, symbol: str, state: MarketState, until_ns: int | None) -> Any:
        outer = self._request(c.OPERATOR_ACCOUNT, symbol) | {"reply_partition": None, "expires_at_ns": None}
        timed = until_ns if state is not MarketState.TRADING else None
        return c.RequestMarketState(**outer, state=state, until_ns=timed)


def garbage(dice: random.Random, found: list[bytes]) -> bytes:
    """Return bytes that are no message: made up, or a part of one that is."""
    if found and dice.random() < 0.6:
        data = dice.choice(found)
        return data[: dice.randint(0, max(0, len(data) - 1))]
    return dice.choice(_GARBAGE)
