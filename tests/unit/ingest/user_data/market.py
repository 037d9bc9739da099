"""The real engine, told to accounts: what a trader hears of each command."""

from __future__ import annotations

from typing import Any

from ingest.user_data.execution_reports import AccountOrders
from matcher.symbol_engine import Input, SymbolEngine
from schemas.commands import (
    AmendRestingOrder,
    CancelRestingOrder,
    EnterOrder,
    EnterOrderList,
    MoveRestingOrder,
    OrderTerms,
)
from schemas.events import CommandMatched
from schemas.instruments import load_instruments
from schemas.orders import OrderListKind, OrderType, Side, TimeInForce
from tests.builders import ALICE, BOB, NOW_NS

INSTRUMENTS = load_instruments()
BTCUSDT = INSTRUMENTS["BTCUSDT"]
BUY, SELL = Side.BUY, Side.SELL


class Market:
    """Commands in, the last record's events by account out."""

    def __init__(self) -> None:
        self.engine = SymbolEngine(BTCUSDT)
        self.accounts = {a: AccountOrders(a, INSTRUMENTS) for a in (ALICE, BOB)}
        self.records: list[CommandMatched] = []
        self._offset = -1

    def send(self, command_type: type[Any], account_id: int, **terms: Any) -> dict[int, list[dict[str, Any]]]:
        self._offset += 1
        name = f"r-{self._offset}"
        command = command_type(
            event_id=name,
            correlation_id=name,
            causation_id=name,
            occurred_at_ns=NOW_NS + self._offset * 1_000_000,
            source_partition=0,
            source_offset=self._offset,
            account_id=account_id,
            symbol="BTCUSDT",
            **terms,
        )
        record = self.engine.apply([Input(0, self._offset, command)])[0].record
        self.records.append(record)
        return {a: orders.take(record) for a, orders in self.accounts.items()}

    def enter(
        self, account_id: int, order_id: int, side: Side, lots: int | None, ticks: int, **more: Any
    ) -> dict[int, list[dict[str, Any]]]:
        terms = order_terms(order_id, side, lots, ticks, **more)
        return self.send(EnterOrder, account_id, maker_fee_ppm=1000, taker_fee_ppm=2000, **terms)

    def enter_list(
        self, account_id: int, list_id: int, kind: OrderListKind, *legs: dict[str, Any], reserved_minor: int
    ) -> dict[int, list[dict[str, Any]]]:
        return self.send(
            EnterOrderList,
            account_id,
            list_id=list_id,
            kind=kind,
            client_order_id=f"list-{list_id}",
            reserved_minor=reserved_minor,
            maker_fee_ppm=1000,
            taker_fee_ppm=2000,
            legs=tuple(OrderTerms(**leg) for leg in legs),
        )

    def cancel(self, account_id: int, order_id: int) -> dict[int, list[dict[str, Any]]]:
        return self.send(CancelRestingOrder, account_id, order_id=order_id, client_order_id="cancel")

    def amend(self, account_id: int, order_id: int, lots: int) -> dict[int, list[dict[str, Any]]]:
        return self.send(
            AmendRestingOrder, account_id, order_id=order_id, quantity_lots=lots, client_order_id="amended"
        )

    def move(self, account_id: int, order_id: int, **to: Any) -> dict[int, list[dict[str, Any]]]:
        return self.send(MoveRestingOrder, account_id, order_id=order_id, client_order_id="move", **to)


def order_terms(order_id: int, side: Side, lots: int | None, ticks: int, **more: Any) -> dict[str, Any]:
    given = {
        "order_id": order_id,
        "side": side,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "client_order_id": f"o-{order_id}",
        "price_ticks": ticks,
        "quantity_lots": lots,
    }
    terms = {**given, **more}
    if "reserved_minor" not in terms:
        by_quote = terms.get("quote_budget_minor") if side is BUY else None
        cost = BTCUSDT.notional_minor(ticks, lots or 0) if side is BUY else (lots or 0) * BTCUSDT.lot_minor
        terms["reserved_minor"] = by_quote or cost
    return terms


def steps(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return (order id, execution type, status) of reports, (list, type, status) of list statuses."""
    return [
        (e["i"], e["x"], e["X"]) if e["e"] == "executionReport" else (e["g"], e["l"], e["L"]) for e in events
    ]
