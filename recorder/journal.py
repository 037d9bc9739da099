"""Double entry: which wallets one event moves, and by how much. Pure.

Settlement arithmetic comes from the event alone, so that the input topics need no order between them.
The legs of one event sum to zero per asset, available and locked together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from schemas.accounts import FEE_ACCOUNT, OUTSIDE_ACCOUNT
from schemas.events import (
    BookEvent,
    CommandMatched,
    FundsDeposited,
    MatchPrevented,
    OrderCanceled,
    OrderEntered,
    OrderExpired,
    OrderFilled,
    OrderRefused,
    OrderRested,
    OrdersTraded,
    Releasing,
    TradeExecuted,
)
from schemas.instruments import Instrument
from schemas.orders import Side

_MOVE_NOTHING = frozenset({OrderEntered, OrderRested, OrdersTraded})
"""A trade's money moves by `trade-execution`."""


class Leg(NamedTuple):
    """One change of one wallet; `reference` is the order or trade id, None for a deposit."""

    account_id: int
    asset: str
    available_delta: int
    locked_delta: int
    reference: int | None


def trade_legs(trade: TradeExecuted, base: str, quote: str) -> list[Leg]:
    """Settle one trade: both sides, both fees, and the buyer's price improvement at once."""
    buyer, seller, trade_id = trade.buyer_account_id, trade.seller_account_id, trade.trade_id
    received = trade.base_minor - trade.buyer_fee_minor
    legs = [
        Leg(buyer, quote, trade.buyer_lock_minor - trade.quote_minor, -trade.buyer_lock_minor, trade_id),
        Leg(buyer, base, *((0, received) if trade.buyer_receipt_locked else (received, 0)), trade_id),
        Leg(seller, base, 0, -trade.base_minor, trade_id),
        Leg(seller, quote, trade.quote_minor - trade.seller_fee_minor, 0, trade_id),
    ]
    if trade.buyer_fee_minor:
        legs.append(Leg(FEE_ACCOUNT, base, trade.buyer_fee_minor, 0, trade_id))
    if trade.seller_fee_minor:
        legs.append(Leg(FEE_ACCOUNT, quote, trade.seller_fee_minor, 0, trade_id))
    return legs


def release_legs(matched: CommandMatched, instrument: Instrument) -> list[Leg]:
    """Give back what orders no longer need: ended, amended, prevented, refused changes.

    A refused order list is not among them: its two sides may have locked two assets, so what its
    reservation booked is reversed (`reversed_legs`).
    """
    legs: list[Leg] = []
    for event in matched.events:
        if type(event) in _MOVE_NOTHING:  # nearly all of them
            continue
        if isinstance(event, Releasing):
            if event.released_minor:
                legs.append(_release(event, instrument))
        elif isinstance(event, MatchPrevented):
            maker_side = Side.SELL if event.taker_side is Side.BUY else Side.BUY
            for order_id, side, released in (
                (event.taker_order_id, event.taker_side, event.taker_released_minor),
                (event.maker_order_id, maker_side, event.maker_released_minor),
            ):
                if released:
                    asset = instrument.quote.name if side is Side.BUY else instrument.base.name
                    legs.append(Leg(event.account_id, asset, released, -released, order_id))
    return legs


def _release(event: Releasing, instrument: Instrument) -> Leg:
    released = event.released_minor
    if event.side is None:
        raise ValueError(f"order {event.order_id}: {released} to release, of no side")
    asset = instrument.quote.name if event.side is Side.BUY else instrument.base.name
    return Leg(event.account_id, asset, released, -released, event.order_id)


def reversed_legs(reserved: Sequence[Leg]) -> list[Leg]:
    """Undo a reservation."""
    return [
        leg._replace(available_delta=-leg.available_delta, locked_delta=-leg.locked_delta) for leg in reserved
    ]


def deposit_legs(deposit: FundsDeposited) -> list[Leg]:
    """Move money in from outside."""
    amount = deposit.amount_minor
    return [
        Leg(OUTSIDE_ACCOUNT, deposit.asset, -amount, 0, None),
        Leg(deposit.account_id, deposit.asset, amount, 0, None),
    ]


class Ending(NamedTuple):
    """How an order ended, in the words of `orders.ended` and `orders.end_reason`."""

    order_id: int
    ended: str
    reason: str | None


def ending(event: BookEvent) -> Ending | None:
    """Return the end that the event brings to an order, if it brings one."""
    if isinstance(event, OrderFilled):
        return Ending(event.order_id, "FILLED", None)
    if isinstance(event, OrderCanceled):
        return Ending(event.order_id, "CANCELED", None)
    if isinstance(event, OrderExpired):
        return Ending(event.order_id, "EXPIRED", event.reason.value)
    if isinstance(event, OrderRefused):
        return Ending(event.order_id, "REJECTED", event.reason.value)
    return None
