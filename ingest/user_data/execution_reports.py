"""What an account is told of each record of `matched-events`: executionReport and listStatus. Pure.

Order: as the engine told it. A record's list statuses come after its execution reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ingest import refusals
from ingest.order_reports import trailing_ms
from ingest.user_data.order_state import OrderState, canceled, entered
from schemas.events import (
    BookEvent,
    CancelRefused,
    CommandMatched,
    MatchPrevented,
    OrderActivated,
    OrderAmended,
    OrderCanceled,
    OrderEntered,
    OrderExpired,
    OrderFilled,
    OrderHeld,
    OrderListEnded,
    OrderListEntered,
    OrderMoved,
    OrderRefused,
    OrdersTraded,
    OrderTriggered,
)
from schemas.instruments import Instrument, Instruments
from schemas.orders import OrderListKind, OrderType, Side
from schemas.public_wire import NS_PER_MS, ZERO
from schemas.reasons import ExpiryReason, RejectReason

NO_ID: Final = -1
EVENTS_PER_RECORD: Final = 16_384
"""An execution id is sequence times this plus the event's place; it fits 53 bits."""
REJECTIONS: Final[Mapping[str, str]] = {
    RejectReason.WOULD_TAKE: "WOULD_MATCH_IMMEDIATELY",
    RejectReason.WOULD_TRIGGER: "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY",
    RejectReason.INSUFFICIENT_LOCK: "INSUFFICIENT_BALANCES",
    RejectReason.BAD_LIST_PRICES: "OCO_BAD_PRICES",
}
_CONTINGENCIES: Final[Mapping[str, str]] = {OrderListKind.OCO: "OCO"}


class UnknownOrder(RuntimeError):
    """An event of an order that was never seen, or seen otherwise: something was missed."""


@dataclass(slots=True)
class ListState:
    client_order_id: str
    kind: OrderListKind
    legs: dict[int, str] = field(default_factory=dict)
    """order id -> client order id"""


def accounts_of(record: CommandMatched) -> set[int]:
    """Return whose orders the record tells of."""
    accounts = set()
    for event in record.events:
        if type(event) is OrdersTraded:
            accounts.add(event.taker_account_id)
            accounts.add(event.maker_account_id)
        else:
            account_id = getattr(event, "account_id", None)
            if account_id is not None and type(event) is not CancelRefused:
                accounts.add(account_id)
    return accounts


class AccountOrders:
    """An account's open orders and lists, moved by records; `take` returns what they give to tell."""

    def __init__(self, account_id: int, instruments: Instruments) -> None:
        self._account_id = account_id
        self._instruments = instruments
        self.orders: dict[int, OrderState] = {}
        self.lists: dict[int, ListState] = {}

    def take(self, record: CommandMatched) -> list[dict[str, Any]]:
        """Raises UnknownOrder."""
        teller = _Teller(self, record, self._instruments[record.symbol], self._account_id)
        return teller.tell()

    def count(self, trade: OrdersTraded, sign: int) -> None:
        """Add a trade to its orders, or take it back."""
        for order_id in (trade.taker_order_id, trade.maker_order_id):
            order = self.orders.get(order_id)
            if order is not None:
                order.executed_lots += sign * trade.quantity_lots
                order.executed_quote_minor += sign * trade.quote_minor


def _of_account(event: BookEvent, account_id: int) -> Iterable[int]:
    """Return the order ids of the account that an event tells of."""
    if type(event) is OrdersTraded:
        if event.taker_account_id == account_id:
            yield event.taker_order_id
        if event.maker_account_id == account_id:
            yield event.maker_order_id
    elif getattr(event, "account_id", None) == account_id:
        if type(event) is MatchPrevented:
            yield event.taker_order_id
            yield event.maker_order_id
        elif (order_id := getattr(event, "order_id", None)) is not None:
            yield order_id


class _Teller:
    """One record, told to one account."""

    def __init__(
        self, account: AccountOrders, record: CommandMatched, instrument: Instrument, account_id: int
    ) -> None:
        self._account = account
        self._record = record
        self._instrument = instrument
        self._account_id = account_id
        self._at_ms = record.occurred_at_ns // NS_PER_MS
        self._reports: list[dict[str, Any]] = []
        self._place = 0
        self._after: dict[int, list[BookEvent]] = {}
        """For each order, the events of the record that are still to come."""
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            OrderEntered: self._entered,
            OrderHeld: self._held,
            OrderTriggered: self._triggered,
            OrderActivated: self._activated,
            OrdersTraded: self._traded,
            MatchPrevented: self._prevented,
            OrderFilled: self._filled,
            OrderCanceled: self._canceled,
            OrderAmended: self._amended,
            OrderMoved: self._moved,
            OrderExpired: self._expired,
            OrderRefused: self._refused,
        }

    def tell(self) -> list[dict[str, Any]]:
        told = []
        for place, event in enumerate(self._record.events):
            mine = list(_of_account(event, self._account_id))
            for order_id in mine:
                self._after.setdefault(order_id, []).append(event)
            if mine or getattr(event, "account_id", None) == self._account_id:
                told.append((place, mine, event))
        lists: list[tuple[int, str, str]] = []
        for place, mine, event in told:
            for order_id in mine:
                del self._after[order_id][0]
            if type(event) is OrderListEntered:
                self._account.lists[event.list_id] = ListState(event.client_order_id, event.kind)
                lists.append((event.list_id, "EXEC_STARTED", "EXECUTING"))
            elif type(event) is OrderListEnded:
                lists.append((event.list_id, "ALL_DONE", "ALL_DONE"))
            else:
                self._place = place
                handler = self._handlers.get(type(event))
                if handler is not None:
                    handler(event)
        for list_id, kind, status in lists:
            self._list_status(list_id, kind, status)
        return self._reports

    # -- events of one order ----------------------------------------------------------------------

    def _entered(self, event: OrderEntered) -> None:
        order = entered(event, self._record.occurred_at_ns)
        self._account.orders[order.order_id] = order
        if event.list_id is not None and event.list_id in self._account.lists:
            self._account.lists[event.list_id].legs[order.order_id] = order.client_order_id
        self._begin(order)

    def _activated(self, event: OrderActivated) -> None:
        order = self._order(event.order_id)
        order.quantity_lots, order.pending = event.quantity_lots, False
        self._begin(order)

    def _begin(self, order: OrderState) -> None:
        """Tell of an order that is there now, unless it is refused at once."""
        following = self._after.get(order.order_id)
        first = following[0] if following else None
        if type(first) is OrderRefused:
            return
        if type(first) is OrderHeld:
            order.pending = first.until == "working_order_filled"
        else:
            order.working_at_ns = self._record.occurred_at_ns
        self._report(order, "NEW", order.status)

    def _held(self, event: OrderHeld) -> None:
        """Nothing to tell: the report before it has said so."""

    def _triggered(self, event: OrderTriggered) -> None:
        order = self._order(event.order_id)
        if order.working_at_ns is None:
            order.working_at_ns = self._record.occurred_at_ns
            self._report(order, "NEW", order.status)

    def _traded(self, trade: OrdersTraded) -> None:
        if trade.taker_account_id == self._account_id:
            self._execution(trade, self._order(trade.taker_order_id), trade.taker_fee_minor, maker=False)
        if trade.maker_account_id == self._account_id:
            self._execution(trade, self._order(trade.maker_order_id), trade.maker_fee_minor, maker=True)

    def _execution(self, trade: OrdersTraded, order: OrderState, fee_minor: int, maker: bool) -> None:
        order.executed_lots += trade.quantity_lots
        order.executed_quote_minor += trade.quote_minor
        if maker and order.open_lots != trade.maker_leaves_lots:
            raise UnknownOrder(
                f"{self._record.symbol} order {order.order_id}: {order.open_lots} lots open here,"
                f" {trade.maker_leaves_lots} in the book"
            )
        following = [type(event) for event in self._after.get(order.order_id, ())]
        done = OrderFilled in following and OrdersTraded not in following
        instrument = self._instrument
        received = instrument.base if order.side is Side.BUY else instrument.quote
        self._report(
            order,
            "TRADE",
            "FILLED" if done else "PARTIALLY_FILLED",
            l=instrument.quantity_text(trade.quantity_lots),
            L=instrument.price_text(trade.price_ticks),
            n=received.text(fee_minor),
            N=received.name,
            t=trade.trade_id,
            w=not done and order.order_type is not OrderType.MARKET,
            m=maker,
            Y=instrument.quote_text(trade.quote_minor),
        )

    def _prevented(self, event: MatchPrevented) -> None:
        taker, maker = event.taker_order_id, event.maker_order_id
        for order_id, counter, lots in (
            (taker, maker, event.taker_prevented_lots),
            (maker, taker, event.maker_prevented_lots),
        ):
            order = self._order(order_id)
            order.prevented_lots += lots
            following = self._after.get(order_id, [])
            last = not any(type(e) in (MatchPrevented, OrdersTraded) for e in following)
            ends = last and any(
                type(e) is OrderExpired and e.reason == ExpiryReason.SELF_TRADE_PREVENTED for e in following
            )
            if not lots and not (ends and order_id == taker):
                continue
            order.ended = ends
            quantity = self._instrument.quantity_text
            self._report(
                order,
                "TRADE_PREVENTION",
                "EXPIRED_IN_MATCH" if ends else order.status,
                v=event.prevented_match_id,
                A=quantity(order.prevented_lots),
                B=quantity(lots),
                u=NO_ID,
                U=counter,
                Cs=self._record.symbol,
                pl=quantity(lots),
                pL=self._instrument.price_text(event.price_ticks),
                pY=self._instrument.quote_text(self._instrument.notional_minor(event.price_ticks, lots)),
                w=not ends,
            )

    def _filled(self, event: OrderFilled) -> None:
        self._account.orders.pop(event.order_id, None)

    def _canceled(self, event: OrderCanceled) -> None:
        self._account.orders.pop(event.order_id, None)
        order = canceled(event)
        own = order.client_order_id
        order.client_order_id = self._record.client_order_id
        self._report(order, "CANCELED", "CANCELED", C=own, w=False)

    def _amended(self, event: OrderAmended) -> None:
        order = self._order(event.order_id)
        order.quantity_lots, order.client_order_id = event.quantity_lots, event.client_order_id
        amendment = self._record.sequence  # as in the answer to the amend, and in order/amendments
        self._report(order, "REPLACED", order.status, C=event.previous_client_order_id, I=amendment)

    def _moved(self, event: OrderMoved) -> None:
        order = self._order(event.order_id)
        order.price_ticks, order.quantity_lots = event.price_ticks, event.quantity_lots
        order.working_at_ns = self._record.occurred_at_ns
        self._report(order, "REPLACED", order.status)

    def _expired(self, event: OrderExpired) -> None:
        order = self._order(event.order_id)
        self._account.orders.pop(event.order_id, None)
        if order.ended:  # told as a prevented trade
            return
        reason = refusals.EXPIRY.get(event.reason, event.reason.upper())
        prevented = event.reason == ExpiryReason.SELF_TRADE_PREVENTED
        status = "EXPIRED_IN_MATCH" if prevented else "EXPIRED"
        self._report(order, "EXPIRED", status, w=False, eR=reason)

    def _refused(self, event: OrderRefused) -> None:
        order = self._account.orders.pop(event.order_id, None)
        if order is not None:  # else it was refused before it entered; the answer says so
            self._report(order, "REJECTED", "REJECTED", r=REJECTIONS.get(event.reason, "NONE"), w=False)

    # -- the texts --------------------------------------------------------------------------------

    def _order(self, order_id: int) -> OrderState:
        order = self._account.orders.get(order_id)
        if order is None:
            raise UnknownOrder(f"{self._record.symbol} order {order_id} of account {self._account_id}")
        return order

    def _report(self, order: OrderState, kind: str, status: str, **special: Any) -> None:
        report = {**self._common(order), "x": kind, "X": status, **special}
        if order.trailing_delta_bips is not None:
            report["d"] = order.trailing_delta_bips
            report["D"] = trailing_ms(order.stop_price_ticks, order.created_at_ns)
        if order.working_at_ns is not None:
            report["W"] = order.working_at_ns // NS_PER_MS
        if order.strategy_id is not None:
            report["j"] = order.strategy_id
        if order.strategy_type is not None:
            report["J"] = order.strategy_type
        self._reports.append(report)

    def _common(self, order: OrderState) -> dict[str, Any]:
        instrument, at_ms = self._instrument, self._at_ms
        lots = order.quantity_lots
        if lots is None or order.quote_budget_minor is not None:
            lots = order.executed_lots
        priced = order.order_type not in (OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT)
        stop = order.stop_price_ticks
        return {
            "e": "executionReport",
            "E": at_ms,
            "s": self._record.symbol,
            "c": order.client_order_id,
            "S": order.side,
            "o": order.order_type,
            "f": order.time_in_force,
            "q": instrument.quantity_text(lots),
            "p": instrument.price_text(order.price_ticks) if priced else ZERO,
            "P": ZERO if stop is None else instrument.price_text(stop),
            "F": instrument.quantity_text(order.display_lots or 0),
            "g": NO_ID if order.list_id is None else order.list_id,
            "C": "",
            "x": "",
            "X": "",
            "r": "NONE",
            "i": order.order_id,
            "l": ZERO,
            "z": instrument.quantity_text(order.executed_lots),
            "L": ZERO,
            "n": "0",
            "N": None,
            "T": at_ms,
            "t": NO_ID,
            "I": self._record.sequence * EVENTS_PER_RECORD + self._place % EVENTS_PER_RECORD,
            "w": order.working_at_ns is not None,
            "m": False,
            "M": False,
            "O": order.created_at_ns // NS_PER_MS,
            "Z": instrument.quote_text(order.executed_quote_minor),
            "Y": ZERO,
            "Q": instrument.quote_text(order.quote_budget_minor or 0),
            "V": order.self_trade_prevention,
        }

    def _list_status(self, list_id: int, kind: str, status: str) -> None:
        known = self._account.lists.get(list_id)
        if known is None:
            raise UnknownOrder(f"{self._record.symbol} list {list_id} of account {self._account_id}")
        if status == "ALL_DONE":
            del self._account.lists[list_id]
        symbol = self._record.symbol
        self._reports.append(
            {
                "e": "listStatus",
                "E": self._at_ms,
                "s": symbol,
                "g": list_id,
                "c": _CONTINGENCIES.get(known.kind, "OTO"),
                "l": kind,
                "L": status,
                "r": "NONE",
                "C": known.client_order_id,
                "T": self._at_ms,
                "O": [{"s": symbol, "i": i, "c": client_id} for i, client_id in known.legs.items()],
            }
        )
