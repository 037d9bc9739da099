"""What a batch does to Postgres, as columns for `recorder.statements`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from recorder.order_changes import OrderChanges
from recorder.settlement import Settlement
from schemas.events import AccountOpened, FundsDeposited, TradeExecuted
from service_runtime.sql_arrays import ints, texts

Kind = Callable[[Iterable[Any]], str]
_PREVENTED_KINDS = (texts, ints, ints, texts, ints, ints, ints, ints, ints, ints)
_AMENDMENT_KINDS = (ints, ints, texts, texts, texts, ints, ints)


def columns_of(rows: Sequence[Sequence[object]], *kinds: Kind) -> tuple[str, ...]:
    """Turn rows into one array for each column; `kinds` are `ints` or `texts`."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(kinds)
    return tuple(kind(column) for kind, column in zip(kinds, columns, strict=True))


def account_columns(opened: Sequence[AccountOpened]) -> tuple[str, ...]:
    rows = [(a.account_id, a.name, a.maker_fee_ppm, a.taker_fee_ppm, a.occurred_at_ns) for a in opened]
    return columns_of(rows, ints, texts, ints, ints, ints)


def deposit_columns(deposits: Sequence[FundsDeposited]) -> tuple[str, ...]:
    rows = [(d.deposit_id, d.account_id, d.asset, d.amount_minor, d.occurred_at_ns) for d in deposits]
    return columns_of(rows, texts, ints, texts, ints, ints)


def trade_row(trade: TradeExecuted) -> tuple[object, ...]:
    return (
        trade.symbol,
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
        trade.occurred_at_ns,
    )


def order_columns(changes: OrderChanges) -> tuple[str, ...]:
    rows = [
        (order_id, c.executed_lots, c.executed_quote_minor, c.ended, c.reason, c.updated_at_ns)
        for order_id, c in sorted(changes.orders.items())
    ]
    return columns_of(rows, ints, ints, ints, texts, texts, ints)


def terms_columns(changes: OrderChanges) -> tuple[str, ...]:
    rows = [
        (
            order_id,
            c.client_order_id,
            c.price_ticks,
            c.quantity_lots,
            c.first_quantity_lots,
            c.waits_for,
            c.working_at_ns,
            c.prevented_lots,
            c.amends,
        )
        for order_id, c in sorted(changes.terms.items())
    ]
    return columns_of(rows, ints, texts, ints, ints, ints, texts, ints, ints, ints)


def ended_list_columns(changes: OrderChanges) -> tuple[str, ...]:
    rows = [(list_id, c.ended, c.reason, c.at_ns) for list_id, c in sorted(changes.lists.items())]
    return columns_of(rows, ints, texts, texts, ints)


def refused_list_columns(changes: OrderChanges) -> tuple[str, ...] | None:
    """Return the lists whose legs were refused with them, if there are any."""
    rows = [(i, c.reason, c.at_ns) for i, c in sorted(changes.lists.items()) if c.ended == "REJECTED"]
    return columns_of(rows, ints, texts, ints) if rows else None


def prevented_columns(changes: OrderChanges) -> tuple[str, ...]:
    return columns_of(changes.prevented, *_PREVENTED_KINDS)


def amendment_columns(changes: OrderChanges) -> tuple[str, ...]:
    return columns_of(changes.amendments, *_AMENDMENT_KINDS)


def settled_columns(settlement: Settlement) -> tuple[str, ...]:
    rows = [
        (symbol, s.sequence, s.last_hash, s.trade_id, s.last_price_ticks)
        for symbol, s in sorted(settlement.settled.items())
    ]
    return columns_of(rows, texts, ints, texts, ints, ints)
