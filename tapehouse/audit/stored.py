"""Holds what the topics say against `orders` and `trades`, while the scan goes by (I3, I4)."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from schemas.events import TradeExecuted
from tapehouse.audit.difference import differs
from tapehouse.audit.rebuilt_book import Ended, OpenOrder
from tapehouse.audit.scan import Sink

_PIECE = 5_000
_TRADES = (
    "SELECT trade_id, sequence, price_ticks, quantity_lots, quote_minor, taker_side, buyer_order_id,"
    " buyer_account_id, buyer_fee_minor, seller_order_id, seller_account_id, seller_fee_minor FROM trades"
    " WHERE symbol = %s AND trade_id BETWEEN %s AND %s ORDER BY trade_id"
)
_ORDERS = (
    "SELECT order_id, executed_lots, executed_quote_minor, ended, end_reason FROM orders"
    " WHERE order_id = ANY(%s)"
)


class StoredHistory(Sink):
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self.orders_ended = 0
        self.trades_seen = 0

    def trades(self, symbol: str, trades: list[TradeExecuted]) -> None:
        for start in range(0, len(trades), _PIECE):
            piece = trades[start : start + _PIECE]
            bounds = (symbol, piece[0].trade_id, piece[-1].trade_id)
            rows = {r[0]: r for r in self._connection.execute(_TRADES, bounds)}
            for trade in piece:
                if rows.get(trade.trade_id) != _row(trade):
                    found = rows.get(trade.trade_id)
                    text = "is missing" if found is None else f"has {found}, the topic {_row(trade)}"
                    differs("I4", f"table trades: {symbol} {trade.trade_id} {text}")
            self.trades_seen += len(piece)

    def ended(self, symbol: str, orders: list[Ended]) -> None:
        self.orders_ended += len(orders)
        self._compare(symbol, ((o.order_id, (*o[1:],)) for o in orders))

    def open(self, symbol: str, orders: dict[int, OpenOrder]) -> None:
        self._compare(
            symbol, ((i, (o.executed_lots, o.executed_quote, None, None)) for i, o in orders.items())
        )

    def check_counts(self, accepted: int) -> None:
        """Nothing is in the tables that the topics do not have."""
        counts = "SELECT (SELECT count(*) FROM trades), count(ended), count(*) FROM orders"
        found = self._connection.execute(counts.encode()).fetchone()
        assert found is not None
        if found[0] != self.trades_seen:
            differs("I4", f"table trades: {found[0]} rows, trade-execution has {self.trades_seen}")
        if found[1] != self.orders_ended:
            differs("I3", f"table orders: {found[1]} have ended, matched-events says {self.orders_ended}")
        if found[2] != accepted:
            differs("I3", f"table orders: {found[2]} rows, validated-orders has {accepted}")

    def _compare(self, symbol: str, expected: Iterable[tuple[int, tuple[int | str | None, ...]]]) -> None:
        said = dict(expected)
        ids = sorted(said)
        for start in range(0, len(ids), _PIECE):
            piece = ids[start : start + _PIECE]
            rows = {r[0]: tuple(r[1:]) for r in self._connection.execute(_ORDERS, (piece,))}
            for order_id in piece:
                if rows.get(order_id) != said[order_id]:
                    differs(
                        "I3",
                        f"table orders: {symbol} order {order_id} has {rows.get(order_id)},"
                        f" matched-events says {said[order_id]} (executed lots, quote, ended, reason)",
                    )


def _row(trade: TradeExecuted) -> tuple[int | str, ...]:
    return (
        trade.trade_id,
        trade.sequence,
        trade.price_ticks,
        trade.quantity_lots,
        trade.quote_minor,
        trade.taker_side.value,
        trade.buyer_order_id,
        trade.buyer_account_id,
        trade.buyer_fee_minor,
        trade.seller_order_id,
        trade.seller_account_id,
        trade.seller_fee_minor,
    )
