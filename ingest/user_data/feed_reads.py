"""What the user data process asks Postgres: where to begin, an account's open orders, settled balances.

Each is one statement, so that it is one moment, and says how far every symbol is settled at that moment.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgspec

from ingest.read_pool import ReadPool
from ingest.user_data.execution_reports import ListState
from ingest.user_data.order_state import OrderState
from schemas.orders import OrderListKind, OrderType, Side, TimeInForce
from schemas.topics import ACCOUNT_EVENTS
from service_runtime.event_log import TopicPartition
from service_runtime.sequence import MatchedPosition

Settled = dict[str, tuple[int, int]]
"""symbol -> (sequence, trade id)"""
Place = tuple[int, int]
"""(partition, offset) in account-events"""
_SETTLED: Final = (
    "(SELECT jsonb_object_agg(symbol, jsonb_build_array(sequence, trade_id)) FROM settled) AS settled"
)
_START: Final = """
SELECT (SELECT jsonb_object_agg(symbol, jsonb_build_array(sequence, last_hash, trade_id)) FROM settled),
       (SELECT jsonb_agg(jsonb_build_array(topic, partition, next_offset)) FROM positions
         WHERE service = 'recorder')
"""
_ORDERS: Final = f"""
SELECT {_SETTLED},
  (SELECT jsonb_agg(to_jsonb(o)) FROM (SELECT order_id, client_order_id, side, order_type, time_in_force,
      price_ticks, quantity_lots, created_at_ns, quote_budget_minor, stop_price_ticks, trailing_delta_bips,
      display_lots, self_trade_prevention, list_id, executed_lots, executed_quote_minor, prevented_lots,
      waits_for, working_at_ns, strategy_id, strategy_type
    FROM orders WHERE account_id = %(account)s AND ended IS NULL ORDER BY order_id) o),
  (SELECT jsonb_agg(jsonb_build_array(l.list_id, l.client_order_id, l.kind, o.legs)) FROM order_lists l
    CROSS JOIN LATERAL (SELECT jsonb_agg(jsonb_build_array(order_id, client_order_id) ORDER BY order_id)
      AS legs FROM orders WHERE list_id = l.list_id) o
    WHERE l.account_id = %(account)s AND l.ended IS NULL),
  (SELECT jsonb_object_agg(s.symbol, greatest(s.sequence, t.sequence)) FROM settled s
    LEFT JOIN trades t ON t.symbol = s.symbol AND t.trade_id = s.trade_id)
"""
_WALLETS: Final = f"""
SELECT {_SETTLED},
  (SELECT jsonb_agg(jsonb_build_array(account_id, asset, available, locked)) FROM wallets
    WHERE account_id = ANY(%(accounts)s)),
  (SELECT jsonb_agg(jsonb_build_array(partition, next_offset)) FROM positions
    WHERE service = 'recorder' AND topic = %(topic)s),
  (SELECT jsonb_agg(DISTINCT jsonb_build_array(l.source_partition, l.source_offset)) FROM ledger l
    JOIN unnest(%(partitions)s::int[], %(offsets)s::bigint[]) k(p, o)
      ON l.source = 'A' AND l.source_partition = k.p AND l.source_offset = k.o)
"""


class Start(msgspec.Struct, frozen=True):
    positions: dict[TopicPartition, int]
    """Of every topic that the recorder reads."""
    sequences: dict[str, MatchedPosition]
    settled: Settled


class OpenOrders(msgspec.Struct, frozen=True):
    settled: Settled
    orders: list[OrderState]
    lists: dict[int, ListState]
    reaches: dict[str, int]
    """symbol -> the sequence up to which, or to whose trades, anything here reaches"""


class Balances(msgspec.Struct, frozen=True):
    settled: Settled
    wallets: dict[tuple[int, str], tuple[int, int]]
    """(account, asset) -> (available, locked)"""
    read_to: dict[int, int]
    """partition of account-events -> offset up to which it is settled"""
    applied: set[Place]
    """Of the deposits asked for, those that moved money."""


class FeedReads:
    """Every read raises ReadsAway while Postgres does not answer."""

    def __init__(self, pool: ReadPool) -> None:
        self._pool = pool

    async def start(self) -> Start:
        """Return where the recorder stands: places and the sequences that belong to them."""
        settled, positions = await self._row(_START, {})
        return Start(
            {TopicPartition(topic, partition): offset for topic, partition, offset in positions or ()},
            {symbol: MatchedPosition(s, last_hash) for symbol, (s, last_hash, _) in (settled or {}).items()},
            {symbol: (s, trade_id) for symbol, (s, _, trade_id) in (settled or {}).items()},
        )

    async def open_orders(self, account_id: int) -> OpenOrders:
        settled, orders, lists, reaches = await self._row(_ORDERS, {"account": account_id})
        return OpenOrders(
            _settled(settled),
            [_order(row) for row in orders or ()],
            {
                list_id: ListState(client_id, OrderListKind(kind), dict(legs or ()))
                for list_id, client_id, kind, legs in lists or ()
            },
            reaches or {},
        )

    async def balances(self, accounts: Collection[int], deposits: Collection[Place]) -> Balances:
        values = {
            "accounts": list(accounts),
            "topic": ACCOUNT_EVENTS,
            "partitions": [partition for partition, _ in deposits],
            "offsets": [offset for _, offset in deposits],
        }
        settled, wallets, positions, applied = await self._row(_WALLETS, values)
        return Balances(
            _settled(settled),
            {(account, asset): (free, locked) for account, asset, free, locked in wallets or ()},
            dict(positions or ()),
            {(partition, offset) for partition, offset in applied or ()},
        )

    async def _row(self, statement: str, values: dict[str, Any]) -> tuple[Any, ...]:
        (row,) = await self._pool.rows(statement, values)
        return row


def _settled(rows: dict[str, list[int]] | None) -> Settled:
    return {symbol: (sequence, trade_id) for symbol, (sequence, trade_id) in (rows or {}).items()}


def _order(row: dict[str, Any]) -> OrderState:
    waits_for, working_at_ns = row.pop("waits_for"), row.pop("working_at_ns")
    order = OrderState(
        **{
            **row,
            "side": Side(row["side"]),
            "order_type": OrderType(row["order_type"]),
            "time_in_force": TimeInForce(row["time_in_force"]),
        }
    )
    if not waits_for:
        order.working_at_ns = working_at_ns or order.created_at_ns
    order.pending = waits_for == "working_order_filled"
    return order
