"""A trader who sends anything: every command, close prices, few accounts, a part of it nonsense.

What it sends follows from the dice it is given and from what is open in the slow model, so that a seed, or
Hypothesis, decides everything.
"""

from __future__ import annotations

import random
from typing import Any

import msgspec

from schemas import commands as c
from schemas.instruments import Instrument
from schemas.orders import (
    CancelRestriction,
    MarketState,
    OrderListKind,
    OrderType,
    ReplaceMode,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from tests.simulation.matcher.envelope import Command, envelope
from tests.simulation.matcher.market import SECOND, T0, instrument
from tests.simulation.matcher.naive.matcher import NaiveMatcher
from tests.simulation.matcher.naive.open_order import (
    MARKETS,
    STOP_LOSSES,
    STOPS,
    TAKE_PROFITS,
    OpenOrder,
    Where,
)

_HALTS = {"band": "0.03", "window_s": 15, "halt_s": 6, "auction_s": 6}
_TIGHT = ("1.05", "0.95", "1.04", "0.96")
MARKETPLACES: dict[str, Instrument] = {
    "plain": instrument(),
    "units": instrument(4, 7, self_trade_prevention=SelfTradePrevention.DECREMENT),
    "halts": instrument(2, 3, volatility=_HALTS),
    "bands": instrument(5, 1, volatility=_HALTS, band=_TIGHT),
}
"""Steps that no mistake of units survives, bands that are hit, halts that come often."""

FEES = [0, 0, 750, 1000, 100_000, 1_000_000]
PROFITS = [OrderType.LIMIT_MAKER, OrderType.LIMIT_MAKER, *sorted(TAKE_PROFITS)]
KINDS = [
    ("enter", 50),
    ("enter_list", 12),
    ("cancel", 6),
    ("cancel_list", 2),
    ("cancel_all", 1),
    ("replace", 7),
    ("amend", 5),
    ("move", 9),
    ("set_state", 2),
    ("tick", 6),
    ("spoiled", 3),
]


class Trader:
    def __init__(self, model: NaiveMatcher, dice: random.Random, *, duplicates: bool = True) -> None:
        self.model = model
        self.dice = dice
        self.duplicates = duplicates
        """Whether a source offset may come twice."""
        self.instrument = model.instrument
        self.number = 0
        self.order_id = 0
        self.list_id = 0
        self.now_ns = 0
        self.offsets = [0, 0]
        # a temper of its own: how close prices are, how many accounts, what it likes to do
        self.spread = dice.choice([2, 4, 6, 6])
        self.accounts = dice.choice([1, 2, 3, 3])
        self.hides = dice.choice([0.1, 0.3, 0.8])
        self.weights = [weight * dice.choice([0.4, 1, 1, 2.5]) for _, weight in KINDS]
        self.types = [OrderType.LIMIT] * dice.choice([6, 16, 30]) + [OrderType.MARKET] * 2 + list(OrderType)

    def next(self) -> Command:
        if self.model.state is MarketState.AUCTION and self.chance(0.2):
            return self.tick()
        if self.model.state is not MarketState.TRADING and self.chance(0.2):
            return self.set_state()
        return self.send(self.dice.choices([kind for kind, _ in KINDS], self.weights)[0])

    def send(self, kind: str) -> Command:
        command: Command = getattr(self, kind)()
        return command

    # -- dice ---------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return self.dice.random() < probability

    def price(self) -> int:
        return self.dice.randint(100 - self.spread, 100 + self.spread)

    def lots(self) -> int:
        return self.dice.randint(1, 9)

    def new_id(self) -> int:
        """Return a fresh id, now and then one that is taken."""
        if self.model.book.orders and self.chance(0.02):
            return self.dice.choice(self.model.book.orders).order_id
        self.order_id += self.dice.randint(1, 2)
        return self.order_id

    def open_order(self, account_id: int, *, mostly_single: bool) -> tuple[int, int]:
        """Return order and account of something open, now and then of nothing or another's."""
        orders = self.model.book.orders
        if mostly_single and self.chance(0.9):
            orders = [o for o in orders if o.order_list is None]
        if not orders or self.chance(0.06):
            return self.dice.randint(1, self.order_id + 1), account_id
        resting = [o for o in orders if o.where is Where.RESTING]
        order = self.dice.choice(resting if resting and self.chance(0.6) else orders)
        return order.order_id, account_id if self.chance(0.05) else order.account_id

    def envelope(self, account_id: int) -> dict[str, Any]:
        """Return the outer fields; time creeps on, an offset may be a duplicate."""
        self.number += 1
        self.now_ns = max(0, self.now_ns + self.dice.choice([0, 0, 1, 1, 2, -1]) * SECOND // 2)
        source = self.dice.randint(0, 1)
        self.offsets[source] += self.dice.randint(1, 2)
        offset = self.offsets[source]
        if self.duplicates and self.chance(0.02):
            offset = self.dice.randint(0, offset)
        return envelope(
            self.number,
            account_id,
            self.now_ns,
            symbol=self.instrument.symbol,
            source_partition=source,
            source_offset=offset,
            reply_partition=self.dice.choice([None, 0]),
        )

    def account(self) -> int:
        return self.dice.randint(1, self.accounts)

    def fees(self) -> dict[str, Any]:
        return {"maker_fee_ppm": self.dice.choice(FEES), "taker_fee_ppm": self.dice.choice(FEES)}

    # -- orders -------------------------------------------------------------------------------

    def terms(self, order_type: OrderType | None = None, **fixed: Any) -> dict[str, Any]:
        order_type = order_type or self.dice.choice(self.types)
        order_id = self.new_id()
        terms: dict[str, Any] = {
            "order_id": order_id,
            "side": self.dice.choice(list(Side)),
            "order_type": order_type,
            "time_in_force": self.dice.choices(list(TimeInForce), [14, 1, 2])[0],
            "client_order_id": f"c{order_id}",
            "price_ticks": self.price(),
            "quantity_lots": self.lots(),
            "self_trade_prevention": self.dice.choice([None, *SelfTradePrevention]),
            **fixed,
        }
        if order_type in MARKETS:
            terms["price_ticks"] += self.dice.randint(-4, 4)
        if order_type in STOPS:
            self.add_stop(terms)
        if order_type is OrderType.MARKET and "quantity_lots" not in fixed and self.chance(0.5):
            self.by_quote(terms)
        if self.may_hide(terms) and self.chance(self.hides):
            terms["display_lots"] = self.dice.randint(1, terms["quantity_lots"] or 3)
        terms["reserved_minor"] = self.cost(terms)
        return terms

    def add_stop(self, terms: dict[str, Any]) -> None:
        """Mostly on the right side of the last price, sometimes trailing, sometimes both."""
        last = self.model.last_price_ticks or 100
        upwards = (terms["order_type"] in STOP_LOSSES) == (terms["side"] is Side.BUY)
        away = self.dice.randint(1, 5) if self.chance(0.9) else self.dice.randint(-3, 0)
        if self.chance(0.4):
            terms["trailing_delta_bips"] = self.dice.randint(1, 500)
        if "trailing_delta_bips" not in terms or self.chance(0.5):
            terms["stop_price_ticks"] = last + away if upwards else last - away

    def by_quote(self, terms: dict[str, Any]) -> None:
        unit = self.instrument.tick_lot_minor
        terms["quote_budget_minor"] = self.dice.randint(1, 1500) * unit + self.dice.randint(0, unit - 1)
        if terms["side"] is Side.BUY:
            terms["quantity_lots"] = None

    @staticmethod
    def may_hide(terms: dict[str, Any]) -> bool:
        limits = {OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT}
        good_till_canceled = terms["time_in_force"] is TimeInForce.GTC and terms["order_type"] in limits
        return good_till_canceled or terms["order_type"] is OrderType.LIMIT_MAKER

    def cost(self, terms: dict[str, Any]) -> int:
        lots = terms["quantity_lots"]
        if terms["side"] is Side.SELL:
            return int((lots or 0) * self.instrument.lot_minor)
        if lots is None:
            return int(terms["quote_budget_minor"])
        return int(terms["price_ticks"] * lots * self.instrument.tick_lot_minor)

    def enter(self) -> Command:
        return c.EnterOrder(**self.envelope(self.account()), **self.fees(), **self.terms())

    # -- order lists --------------------------------------------------------------------------

    def enter_list(self) -> Command:
        kind = self.dice.choice(list(OrderListKind))
        outer = self.envelope(self.account())
        paid = kind in (OrderListKind.OPO, OrderListKind.OPOCO)
        legs = []
        if kind is not OrderListKind.OCO:
            working = self.dice.choice([OrderType.LIMIT, OrderType.LIMIT, OrderType.LIMIT_MAKER])
            side: dict[str, Any] = {"side": Side.BUY} if paid else {}
            legs.append(self.terms(working, **side))
        bare: dict[str, Any] = {"side": Side.SELL, "quantity_lots": None} if paid else {}
        if kind in (OrderListKind.OTO, OrderListKind.OPO):
            legs.append(self.terms(**bare))
        else:
            legs += self.pair(**bare)
        needs = [leg["reserved_minor"] for leg in legs]
        reserved = max(needs) if kind is OrderListKind.OCO else needs[0] + max(needs[1:])
        if self.list_id == 0 or self.chance(0.97):
            self.list_id += 1
        return c.EnterOrderList(
            **outer,
            **self.fees(),
            list_id=self.list_id,
            kind=kind,
            client_order_id=f"l{self.list_id}",
            reserved_minor=reserved,
            legs=tuple(c.OrderTerms(**leg) for leg in legs),
        )

    def pair(self, **fixed: Any) -> list[dict[str, Any]]:
        """Return an OCO pair that mostly encloses the last price."""
        side = fixed.setdefault("side", self.dice.choice(list(Side)))
        fixed.setdefault("quantity_lots", self.lots())
        last = self.model.last_price_ticks or 100
        profit = self.terms(self.dice.choice(PROFITS), **fixed)
        if profit["order_type"] is OrderType.LIMIT_MAKER:
            profit["price_ticks"] = last + self.dice.randint(0, 4) * (1 if side is Side.SELL else -1)
            if fixed["quantity_lots"] is not None:
                profit["reserved_minor"] = self.cost(profit)
        stop = self.terms(self.dice.choice(sorted(STOP_LOSSES)), **fixed)
        return [profit, stop] if (side is Side.SELL) == self.chance(0.97) else [stop, profit]

    def cancel_list(self) -> Command:
        outer = self.envelope(self.account())
        list_id = self.dice.randint(1, self.list_id + 1)
        if self.model.lists and self.chance(0.8):
            of = self.dice.choice(self.model.lists)
            list_id, outer["account_id"] = of.list_id, of.account_id
        return c.CancelRestingList(**outer, list_id=list_id, client_order_id="the-cancel")

    # -- cancel and change --------------------------------------------------------------------

    def named(self, *, mostly_single: bool = True) -> dict[str, Any]:
        """Return envelope and id of an open order."""
        outer = self.envelope(self.account())
        order_id, account_id = self.open_order(outer["account_id"], mostly_single=mostly_single)
        return {**outer, "account_id": account_id, "order_id": order_id}

    def found(self, order_id: int) -> OpenOrder | None:
        return next((o for o in self.model.book.orders if o.order_id == order_id), None)

    def cancel(self) -> Command:
        restriction = self.dice.choice([None, None, *CancelRestriction])
        named = self.named(mostly_single=False)
        return c.CancelRestingOrder(**named, client_order_id="the-cancel", restriction=restriction)

    def cancel_all(self) -> Command:
        return c.CancelRestingOrders(**self.envelope(self.account()), client_order_id="the-cancel")

    def replace(self) -> Command:
        outer = self.named()
        old = self.found(outer.pop("order_id"))
        side: dict[str, Any] = {} if old is None or self.chance(0.2) else {"side": old.side}
        terms = self.terms(**side)
        if self.chance(0.02) and old is not None:
            terms["order_id"] = old.order_id
        if old is not None and not self.number % 3:
            terms["client_order_id"] = old.client_order_id
        cost = terms["reserved_minor"]
        freed = old.lock.locked_minor if old is not None else 0
        missing = max(0, cost - freed)
        reserved = self.dice.choice([0, missing, missing, missing, missing + 1, missing - 1, cost, cost + 1])
        return c.ReplaceRestingOrder(
            **outer,
            **self.fees(),
            cancel_order_id=old.order_id if old is not None else self.dice.randint(1, self.order_id + 1),
            client_order_id="the-cancel",
            mode=self.dice.choice(list(ReplaceMode)),
            order=c.OrderTerms(**terms),
            reserved_minor=reserved,
            restriction=self.dice.choice([None, None, None, *CancelRestriction]),
        )

    def amend(self) -> Command:
        outer = self.named()
        order = self.found(outer["order_id"])
        lots = (
            self.dice.randint(0, 10)
            if order is None
            else (order.quantity_lots or 1) - self.dice.randint(-1, 4)
        )
        return c.AmendRestingOrder(**outer, quantity_lots=lots, client_order_id=f"a{self.number}")

    def move(self) -> Command:
        outer = self.named()
        order = self.found(outer["order_id"])
        price = self.dice.choice([None, self.price(), self.price()])
        lots = self.dice.choice([None, self.lots()])
        reserved = 0
        if order is not None:
            if lots is not None:
                lots = (order.quantity_lots or 1) + self.dice.randint(-3, 3)
            reserved = self.lock_for(order, price, lots) + self.dice.choice([0, 0, 0, 0, 5, -1])
        return c.MoveRestingOrder(
            **outer,
            client_order_id="the-move",
            price_ticks=price,
            quantity_lots=lots,
            reserved_minor=reserved,
        )

    def lock_for(self, order: OpenOrder, price: int | None, lots: int | None) -> int:
        """Return what the moved order needs beyond what is locked."""
        leaves = order.leaves_lots + (0 if lots is None else lots - (order.quantity_lots or 0))
        need = leaves * self.instrument.lot_minor
        if order.side is Side.BUY:
            need = leaves * (price or order.price_ticks) * self.instrument.tick_lot_minor
        return max(0, need - order.lock.locked_minor)

    # -- the market ---------------------------------------------------------------------------

    def set_state(self) -> Command:
        states = [*MarketState, MarketState.TRADING, MarketState.AUCTION, MarketState.AUCTION]
        if self.model.state is not MarketState.TRADING:
            states += [MarketState.TRADING] * 8
        state = self.dice.choice(states)
        outer = self.envelope(0)
        until = None if self.chance(0.4) else T0 + self.now_ns + self.dice.randint(-1, 8) * SECOND
        return c.SetMarketState(**outer, state=state, until_ns=until)

    def tick(self) -> Command:
        return c.Tick(**self.envelope(0))

    # -- nonsense -----------------------------------------------------------------------------

    def spoiled(self) -> Command:
        """Return a command of which one field says something that cannot be."""
        kind = self.dice.choice(["enter", "enter", "enter_list", "replace", "amend", "move"])
        command = self.send(kind)
        if isinstance(command, c.EnterOrder):
            return msgspec.structs.replace(command, **self.spoil())
        if isinstance(command, c.ReplaceRestingOrder):
            order = msgspec.structs.replace(command.order, **self.spoil(inner=True))
            return msgspec.structs.replace(command, order=order)
        if isinstance(command, c.EnterOrderList):
            return self.spoil_list(command)
        field = "quantity_lots" if isinstance(command, c.AmendRestingOrder) else "price_ticks"
        return msgspec.structs.replace(command, **{field: self.impossible()})

    def spoil_list(self, command: c.EnterOrderList) -> Command:
        legs, place = list(command.legs), self.dice.randrange(len(command.legs))
        match self.dice.randint(0, 4):
            case 0:
                legs[place] = msgspec.structs.replace(legs[place], **self.spoil(inner=True))
            case 1:
                legs.pop(place)
            case 2:
                legs = [leg for leg in legs if self.chance(0.2)]
            case 3:
                legs.append(legs[place])
            case _:
                bad = {"list_id": self.impossible(), "reserved_minor": command.reserved_minor + 1}
                field = self.dice.choice(sorted(bad))
                return msgspec.structs.replace(command, **{field: bad[field]})
        return msgspec.structs.replace(command, legs=tuple(legs))

    def impossible(self) -> int:
        return self.dice.choice([0, -1, 2**63, 2**64])

    def spoil(self, *, inner: bool = False) -> dict[str, Any]:
        bad: dict[str, Any] = {
            "order_id": self.impossible(),
            "price_ticks": self.impossible(),
            "quantity_lots": self.dice.choice([None, 0, -3, 2**63 - 1, 2**63]),
            "quote_budget_minor": self.dice.choice([None, 0, 500, 2**63]),
            "reserved_minor": self.dice.choice([-1, 0, 1, 2**63]),
            "stop_price_ticks": self.dice.choice([None, 0, 100, 2**63]),
            "trailing_delta_bips": self.dice.choice([None, 0, -5, 10_000, 9_999, 30]),
            "display_lots": self.dice.choice([0, -1, 1, 10, 2**63]),
            "time_in_force": self.dice.choice(list(TimeInForce)),
            "order_type": self.dice.choice(list(OrderType)),
            "side": self.dice.choice(list(Side)),
        }
        if not inner:
            bad["maker_fee_ppm"] = self.dice.choice([-1, 1_000_001])
            bad["taker_fee_ppm"] = self.dice.choice([-1, 1_000_001])
        field = self.dice.choice(sorted(bad))
        return {field: bad[field]}
