"""What a batch of events says of order rows, order lists, amendments and prevented matches. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from recorder.journal import ending
from schemas.events import (
    BookEvent,
    CommandMatched,
    MatchPrevented,
    OrderActivated,
    OrderAmended,
    OrderEntered,
    OrderHeld,
    OrderListEnded,
    OrderListRefused,
    OrderMoved,
    OrderRested,
    OrdersTraded,
    OrderTriggered,
    TradeExecuted,
)

_CHANGE_NOTHING = frozenset({OrderEntered, OrderRested, OrdersTraded})
"""Of the rows: a trade's part comes by `trade-execution`."""
PreventedRow = tuple[str, int, int, str, int, int, int, int, int, int]
"""symbol, id, account, mode, price, taker, maker, taker's lots, maker's lots, at"""
AmendmentRow = tuple[int, int, str, str, str, int, int]
"""order, sequence, symbol, previous client id, client id, quantity, at"""


@dataclass(slots=True)
class OrderChange:
    """How far an order got: adds up over the batch."""

    executed_lots: int = 0
    executed_quote_minor: int = 0
    ended: str | None = None
    reason: str | None = None
    updated_at_ns: int = 0


@dataclass(slots=True)
class TermsChange:
    """What became different about an order itself; None: as it was."""

    client_order_id: str | None = None
    price_ticks: int | None = None
    quantity_lots: int | None = None
    first_quantity_lots: int | None = None
    """Its quantity when it was amended first, if the batch had changed that before."""
    waits_for: str | None = None
    """'' when it no longer waits."""
    working_at_ns: int | None = None
    prevented_lots: int = 0
    amends: int = 0


@dataclass(slots=True)
class ListChange:
    ended: str
    reason: str | None
    at_ns: int


@dataclass(slots=True)
class OrderChanges:
    orders: dict[int, OrderChange] = field(default_factory=dict)
    terms: dict[int, TermsChange] = field(default_factory=dict)
    lists: dict[int, ListChange] = field(default_factory=dict)
    prevented: list[PreventedRow] = field(default_factory=list)
    amendments: list[AmendmentRow] = field(default_factory=list)

    def trade(self, trade: TradeExecuted) -> None:
        for order_id in (trade.buyer_order_id, trade.seller_order_id):
            change = self._change(order_id, trade.occurred_at_ns)
            change.executed_lots += trade.quantity_lots
            change.executed_quote_minor += trade.quote_minor

    def matched(self, matched: CommandMatched) -> None:
        for event in matched.events:
            if type(event) in _CHANGE_NOTHING:  # nearly all of them
                continue
            end = ending(event)
            if end is not None:
                change = self._change(end.order_id, matched.occurred_at_ns)
                change.ended, change.reason = end.ended, end.reason
            else:
                self._other(event, matched)

    def _other(self, event: BookEvent, matched: CommandMatched) -> None:
        at_ns = matched.occurred_at_ns
        if isinstance(event, OrderHeld):
            self._terms(event.order_id, at_ns).waits_for = event.until
        elif isinstance(event, OrderTriggered | OrderActivated):
            terms = self._terms(event.order_id, at_ns)
            terms.waits_for, terms.working_at_ns = "", at_ns
            if isinstance(event, OrderActivated):
                terms.quantity_lots = event.quantity_lots
        elif isinstance(event, OrderAmended | OrderMoved):
            terms = self._terms(event.order_id, at_ns)
            if isinstance(event, OrderAmended) and not terms.amends:
                terms.first_quantity_lots = terms.quantity_lots
            terms.client_order_id, terms.quantity_lots = event.client_order_id, event.quantity_lots
            if isinstance(event, OrderMoved):
                terms.price_ticks = event.price_ticks
            else:
                terms.amends += 1
                self._amended(event, matched)
        elif isinstance(event, MatchPrevented):
            self._prevented(event, matched)
        elif isinstance(event, OrderListEnded):
            self.lists[event.list_id] = ListChange("ALL_DONE", None, at_ns)
        elif isinstance(event, OrderListRefused):
            self.lists[event.list_id] = ListChange("REJECTED", event.reason.value, at_ns)

    def _amended(self, event: OrderAmended, matched: CommandMatched) -> None:
        self.amendments.append(
            (
                event.order_id,
                matched.sequence,
                matched.symbol,
                event.previous_client_order_id,
                event.client_order_id,
                event.quantity_lots,
                matched.occurred_at_ns,
            )
        )

    def _prevented(self, event: MatchPrevented, matched: CommandMatched) -> None:
        at_ns = matched.occurred_at_ns
        self._terms(event.taker_order_id, at_ns).prevented_lots += event.taker_prevented_lots
        self._terms(event.maker_order_id, at_ns).prevented_lots += event.maker_prevented_lots
        self.prevented.append(
            (
                matched.symbol,
                event.prevented_match_id,
                event.account_id,
                event.mode.value,
                event.price_ticks,
                event.taker_order_id,
                event.maker_order_id,
                event.taker_prevented_lots,
                event.maker_prevented_lots,
                at_ns,
            )
        )

    def _change(self, order_id: int, at_ns: int) -> OrderChange:
        change = self.orders.get(order_id)
        if change is None:
            change = self.orders[order_id] = OrderChange()
        change.updated_at_ns = max(change.updated_at_ns, at_ns)
        return change

    def _terms(self, order_id: int, at_ns: int) -> TermsChange:
        self._change(order_id, at_ns)
        terms = self.terms.get(order_id)
        if terms is None:
            terms = self.terms[order_id] = TermsChange()
        return terms
