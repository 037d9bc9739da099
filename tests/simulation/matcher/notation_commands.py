"""A command as a trader would say it, one line each.

    ann #1 sell 5 @ 101 [maker | market | stop-loss | stop-loss-limit | take-profit | take-profit-limit]
        [stop 95] [trail 100] [show 2] [ioc | fok] [budget 500] [stp expire-maker] [reserve 10]
        [as c7]
    ann list L1 oco: #1 sell 5 @ 105 maker | #2 sell 5 @ 94 stop-loss-limit stop 95
    ann cancel #1 [only-new | only-partially-filled]     ann cancel all     ann cancel L1
    ann replace #1 [allow-failure | only-new | ...] [reserve 10] by #2 sell 5 @ 102
    ann amend #1 to 3         ann move #1 [to 7] [@ 103] [reserve 10]
    state auction [until 60]  tick
    last 100                  two orders of dan and eve, #901 and #902, then #903 and so on, trade one lot

Any line may begin with `60s:`, the time from then on. `reserve` is what the command locked, if not what
its order costs. The price of a market order or market stop is its collar.
The client id of #7 is c7, if not said.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

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
from tests.simulation.matcher.market import SECOND, T0

ACCOUNTS = {"ann": 1, "bob": 2, "cat": 3, "dan": 4, "eve": 5}
_TYPES = {t.value.lower().replace("_", "-"): t for t in OrderType} | {"maker": OrderType.LIMIT_MAKER}
_TIMES = {t.value.lower(): t for t in TimeInForce}
_MODES = {m.value.lower().replace("_", "-"): m for m in SelfTradePrevention}
_RESTRICTIONS = {r.value.lower().replace("_", "-"): r for r in CancelRestriction}
_NUMBERS = {
    "@": "price_ticks",
    "stop": "stop_price_ticks",
    "trail": "trailing_delta_bips",
    "show": "display_lots",
    "budget": "quote_budget_minor",
    "reserve": "reserved_minor",
    "to": "quantity_lots",
}


class Script:
    """Turns lines into commands; remembers the time and the next source offset."""

    def __init__(self, instrument: Instrument, fees: tuple[int, int] = (0, 0)) -> None:
        self.instrument = instrument
        self.fees: dict[str, Any] = {"maker_fee_ppm": fees[0], "taker_fee_ppm": fees[1]}
        self.now_ns = 0
        self.number = 0
        self.lasts = 900

    def read(self, line: str) -> list[Command]:
        """Return the commands of the line: one, but for `last`."""
        line = line.removeprefix("+ ")
        timed = re.match(r"(\d+)s: *", line)
        if timed:
            self.now_ns = int(timed.group(1)) * SECOND
            line = line[timed.end() :]
        if not line.startswith("last "):
            return [self.read_one(line)]
        lot = f"1 @ {line.split()[1]}"
        self.lasts += 2
        pair = f"dan #{self.lasts - 1} buy {lot}", f"eve #{self.lasts} sell {lot}"
        return [self.read_one(order) for order in pair]

    def read_one(self, line: str) -> Command:
        self.number += 1
        who, *words = line.split()
        if who in ("state", "tick"):
            return self._of_market(who, words)
        outer = envelope(self.number, ACCOUNTS[who], self.now_ns)
        verb, *rest = words
        if verb.startswith("#"):
            return c.EnterOrder(**outer, **self.fees, **self.order(words))
        return getattr(self, f"_{verb}")(outer, rest)  # type: ignore[no-any-return]

    def _of_market(self, what: str, words: list[str]) -> Command:
        outer = envelope(self.number, 0, self.now_ns)
        if what == "tick":
            return c.Tick(**outer)
        until = T0 + int(words[2]) * SECOND if len(words) > 1 else None
        return c.SetMarketState(
            **outer, state=MarketState(words[0].upper().replace("-", "_")), until_ns=until
        )

    def order(self, words: list[str], default_reserve: int | None = None) -> dict[str, Any]:
        """Read `#1 sell 5 @ 101 ...`."""
        name, side, *rest = words
        terms: dict[str, Any] = {
            "order_id": number(name),
            "side": Side(side.upper()),
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.GTC,
            "client_order_id": rest[rest.index("as") + 1] if "as" in rest else f"c{number(name)}",
            **numbers(rest),
        }
        if rest and re.fullmatch(r"-?\d+", rest[0]):
            terms["quantity_lots"] = int(rest[0])
        for word in rest:
            if word in _TYPES:
                terms["order_type"] = _TYPES[word]
            elif word in _TIMES:
                terms["time_in_force"] = _TIMES[word]
            elif word in _MODES:
                terms["self_trade_prevention"] = _MODES[word]
        terms.setdefault("reserved_minor", self.cost(terms) if default_reserve is None else default_reserve)
        return terms

    def cost(self, terms: dict[str, Any]) -> int:
        lots = terms.get("quantity_lots")
        if terms["side"] is Side.SELL:
            return int((lots or 0) * self.instrument.lot_minor)
        if lots is None:
            return int(terms.get("quote_budget_minor", 0))
        return int(terms["price_ticks"] * lots * self.instrument.tick_lot_minor)

    def _list(self, outer: dict[str, Any], words: list[str]) -> Command:
        (head, *_), body = (
            (part.split() for part in " ".join(words).split(":", 1)),
            " ".join(words).split(":", 1)[1],
        )
        kind = OrderListKind(head[1].upper())
        paid = kind in (OrderListKind.OPO, OrderListKind.OPOCO)
        legs = []
        for place, text in enumerate(body.split("|")):
            legs.append(c.OrderTerms(**self.order(text.split(), 0 if paid and place else None)))
        needs = [leg.reserved_minor for leg in legs]
        if kind is OrderListKind.OCO:
            reserved = max(needs)
        else:
            reserved = needs[0] + (0 if paid else max(needs[1:], default=0))
        reserved = numbers(head).get("reserved_minor", reserved)
        return c.EnterOrderList(
            **outer,
            **self.fees,
            list_id=number(head[0]),
            kind=kind,
            client_order_id=head[0],
            reserved_minor=reserved,
            legs=tuple(legs),
        )

    def _cancel(self, outer: dict[str, Any], words: list[str]) -> Command:
        named: dict[str, Any] = {"client_order_id": "the-cancel"}
        if words[0] == "all":
            return c.CancelRestingOrders(**outer, **named)
        if words[0].startswith("L"):
            return c.CancelRestingList(**outer, **named, list_id=number(words[0]))
        restriction = _RESTRICTIONS[words[1]] if len(words) > 1 else None
        return c.CancelRestingOrder(**outer, **named, order_id=number(words[0]), restriction=restriction)

    def _replace(self, outer: dict[str, Any], words: list[str]) -> Command:
        cut = words.index("by")
        how, order = words[1:cut], c.OrderTerms(**self.order(words[cut + 1 :]))
        restrictions = [_RESTRICTIONS[word] for word in how if word in _RESTRICTIONS]
        allowed = "allow-failure" in how
        return c.ReplaceRestingOrder(
            **outer,
            **self.fees,
            cancel_order_id=number(words[0]),
            client_order_id="the-cancel",
            mode=ReplaceMode.ALLOW_FAILURE if allowed else ReplaceMode.STOP_ON_FAILURE,
            order=order,
            reserved_minor=numbers(how).get("reserved_minor", order.reserved_minor),
            restriction=restrictions[0] if restrictions else None,
        )

    def _amend(self, outer: dict[str, Any], words: list[str]) -> Command:
        named: dict[str, Any] = {"order_id": number(words[0]), "client_order_id": "the-amend"}
        return c.AmendRestingOrder(**outer, **named, **numbers(words[1:]))

    def _move(self, outer: dict[str, Any], words: list[str]) -> Command:
        named: dict[str, Any] = {"order_id": number(words[0]), "client_order_id": "the-move"}
        return c.MoveRestingOrder(**outer, **named, **numbers(words[1:]))


def number(name: str) -> int:
    """Return 7 for `#7` and `L7`."""
    return int(name[1:])


def numbers(words: list[str]) -> dict[str, Any]:
    """Return what stands after each word that names a number."""
    return {_NUMBERS[word]: int(value) for word, value in pairwise(words) if word in _NUMBERS}
