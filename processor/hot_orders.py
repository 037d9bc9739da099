"""Accepted orders as the hot book shows them until the matcher has seen them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from processor.order_rows import AcceptedOrder
from schemas.hot_book import OpenOrder
from schemas.instruments import Instruments
from service_runtime.hot_book import Pending


def pending_orders(accepted: Iterable[AcceptedOrder], instruments: Instruments) -> list[Pending]:
    return [_pending(one, instruments) for one in accepted]


def _pending(accepted: AcceptedOrder, instruments: Instruments) -> Pending:
    command, terms = accepted.command, accepted.terms
    default = instruments.symbols[command.symbol].self_trade_prevention
    shown = OpenOrder(
        order_id=terms.order_id,
        account_id=command.account_id,
        client_order_id=terms.client_order_id,
        side=terms.side,
        order_type=terms.order_type,
        time_in_force=terms.time_in_force,
        price_ticks=terms.price_ticks,
        quantity_lots=terms.quantity_lots or 0,
        leaves_lots=terms.quantity_lots or 0,
        executed_quote_minor=0,
        entered_at_ns=command.occurred_at_ns,
        updated_at_ns=command.occurred_at_ns,
        pending=True,
        stop_price_ticks=terms.stop_price_ticks,
        trailing_delta_bips=terms.trailing_delta_bips,
        display_lots=terms.display_lots,
        self_trade_prevention=terms.self_trade_prevention or default,
        list_id=accepted.list_id,
        held_until=accepted.waits_for,
        strategy_id=terms.strategy_id,
        strategy_type=terms.strategy_type,
    )
    return Pending(command.symbol, command.source_partition, command.source_offset, shown)
