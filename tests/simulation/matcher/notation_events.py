"""An event as a line that a trader can read; see scenarios/."""

from __future__ import annotations

from functools import singledispatch

from schemas import events as e
from schemas.orders import Side
from tests.simulation.matcher.market import SECOND, T0


def _also(**amounts: int | str | None) -> str:
    """Return the amounts that are not nothing, in words."""
    return "".join(f", {name.replace('_', ' ')} {amount}" for name, amount in amounts.items() if amount)


def _until(until_ns: int | None) -> str:
    return "" if until_ns is None else f" until {(until_ns - T0) / SECOND:g}s"


@singledispatch
def line(event: e.BookEvent) -> str:
    raise TypeError(event)


@line.register
def _(x: e.OrderEntered) -> str:
    return f"entered #{x.order_id}"


@line.register
def _(x: e.OrderHeld) -> str:
    return f"held #{x.order_id} until {x.until.replace('_', ' ')}"


@line.register
def _(x: e.OrderTriggered) -> str:
    return f"triggered #{x.order_id}"


@line.register
def _(x: e.OrderActivated) -> str:
    return f"activated #{x.order_id} with {x.quantity_lots}{_also(released=x.released_minor)}"


@line.register
def _(x: e.OrdersTraded) -> str:
    verb = "buys" if x.taker_side is Side.BUY else "sells"
    of = "of" if x.taker_side is Side.BUY else "to"
    trade = f"trade {x.trade_id}: #{x.taker_order_id} {verb} {x.quantity_lots} @ {x.price_ticks}"
    lock = x.buyer_lock_minor if x.buyer_lock_minor != x.quote_minor else None
    return (
        f"{trade} {of} #{x.maker_order_id} which has {x.maker_leaves_lots} left"
        + _also(quote=x.quote_minor, lock=lock, taker_fee=x.taker_fee_minor, maker_fee=x.maker_fee_minor)
        + (", receipt locked" if x.buyer_receipt_locked else "")
    )


@line.register
def _(x: e.MatchPrevented) -> str:
    taker = f"#{x.taker_order_id} loses {x.taker_prevented_lots}{_also(released=x.taker_released_minor)}"
    maker = f"#{x.maker_order_id} loses {x.maker_prevented_lots}{_also(released=x.maker_released_minor)}"
    mode = x.mode.lower().replace("_", "-")
    return f"prevented {x.prevented_match_id} ({mode}): {taker}; {maker}, has {x.maker_leaves_lots} left"


@line.register
def _(x: e.OrderRested) -> str:
    return f"rested #{x.order_id} with {x.leaves_lots} @ {x.price_ticks}"


@line.register
def _(x: e.OrderFilled) -> str:
    return f"filled #{x.order_id}{_also(released=x.released_minor)}"


@line.register
def _(x: e.OrderCanceled) -> str:
    also = _also(released=x.released_minor, carried=x.carried_minor)
    return f"canceled #{x.order_id} with {x.leaves_lots} left{also}"


@line.register
def _(x: e.OrderAmended) -> str:
    renamed = f", now {x.client_order_id}" if x.client_order_id != x.previous_client_order_id else ""
    also = _also(released=x.released_minor)
    return f"amended #{x.order_id} to {x.quantity_lots}, {x.leaves_lots} left{also}{renamed}"


@line.register
def _(x: e.OrderMoved) -> str:
    also = _also(released=x.released_minor)
    return f"moved #{x.order_id} to {x.quantity_lots} @ {x.price_ticks}, {x.leaves_lots} left{also}"


@line.register
def _(x: e.ChangeRefused) -> str:
    return f"change of #{x.order_id} refused: {x.reason}{_also(released=x.released_minor)}"


@line.register
def _(x: e.OrderExpired) -> str:
    return f"expired #{x.order_id} with {x.leaves_lots} left: {x.reason}{_also(released=x.released_minor)}"


@line.register
def _(x: e.OrderRefused) -> str:
    return f"refused #{x.order_id}: {x.reason}{_also(released=x.released_minor)}"


@line.register
def _(x: e.CancelRefused) -> str:
    named = f"#{x.order_id}" if x.order_id is not None else "all" if x.list_id is None else f"L{x.list_id}"
    return f"cancel of {named} refused: {x.reason}"


@line.register
def _(x: e.OrderListEntered) -> str:
    return f"list L{x.list_id} entered: {' '.join(f'#{n}' for n in x.order_ids)}"


@line.register
def _(x: e.OrderListRefused) -> str:
    return f"list L{x.list_id} refused: {x.reason}{_also(released=x.released_minor)}"


@line.register
def _(x: e.OrderListEnded) -> str:
    return f"list L{x.list_id} ended"


@line.register
def _(x: e.MarketStateChanged) -> str:
    return f"market {x.state}{_until(x.until_ns)} by {x.cause}"


@line.register
def _(x: e.AuctionIndicated) -> str:
    price = "nothing" if x.price_ticks is None else f"{x.quantity_lots} @ {x.price_ticks}"
    return f"indicated {price}, imbalance {x.imbalance_lots}"


@line.register
def _(x: e.AuctionUncrossed) -> str:
    price = "nothing" if x.price_ticks is None else f"{x.quantity_lots} @ {x.price_ticks}"
    return f"uncrossed {price}, imbalance {x.imbalance_lots}"
