"""Cancels, amends, moves and replaces: what changes orders that are open."""

from __future__ import annotations

from matcher import narration
from matcher.entry_checks import within_band
from matcher.market import Market
from matcher.order import PLAIN, Order
from matcher.order_entry import enter_order, match, order_of
from matcher.terms import fees_sane, sane
from schemas.commands import (
    AmendRestingOrder,
    CancelRestingList,
    CancelRestingOrder,
    CancelRestingOrders,
    MoveRestingOrder,
    ReplaceRestingOrder,
)
from schemas.events import CancelRefused, ChangeRefused, OrderAmended, OrderMoved
from schemas.money import MAX_AMOUNT
from schemas.orders import CancelRestriction, MarketState, OrderType, ReplaceMode, Side
from schemas.reasons import RejectReason

_TRADING, _AUCTION, _BREAK = MarketState.TRADING, MarketState.AUCTION, MarketState.BREAK
_BUY = Side.BUY
_INVALID = RejectReason.INVALID_ORDER


# -- cancels -----------------------------------------------------------------------------------


def cancel(market: Market, command: CancelRestingOrder) -> None:
    order = market.book.orders.get(command.order_id)
    if order is not None and order.account_id != command.account_id:
        order = None
    reason = _not_cancelable(market, order, command.restriction)
    if reason is not None or order is None:
        _refuse_cancel(market, command.account_id, reason, command.order_id)
        return
    found = market.list_of(order)
    if found is None:
        _cancel_one(market, order)
        return
    for each in found.open_legs():
        _cancel_one(market, each)


def cancel_all(market: Market, command: CancelRestingOrders) -> None:
    orders = market.book.open_orders_of(command.account_id)
    if market.state is _BREAK:
        _refuse_cancel(market, command.account_id, RejectReason.MARKET_CLOSED)
    elif not orders:
        _refuse_cancel(market, command.account_id, RejectReason.UNKNOWN_ORDER)
    else:
        for order in orders:
            _cancel_one(market, order)


def cancel_list(market: Market, command: CancelRestingList) -> None:
    found = market.lists.get(command.list_id)
    reason = None
    if market.state is _BREAK:
        reason = RejectReason.MARKET_CLOSED
    elif found is None or found.account_id != command.account_id:
        reason = RejectReason.UNKNOWN_ORDER
    if reason is not None or found is None:
        _refuse_cancel(market, command.account_id, reason, list_id=command.list_id)
        return
    for leg in found.open_legs():
        _cancel_one(market, leg)


def _not_cancelable(
    market: Market, order: Order | None, restriction: CancelRestriction | None, alone: bool = False
) -> RejectReason | None:
    if market.state is _BREAK:
        return RejectReason.MARKET_CLOSED
    if order is None:
        return RejectReason.UNKNOWN_ORDER
    if alone and order.list_id is not None:
        return RejectReason.ORDER_IN_LIST
    if restriction is not None and (order.executed_lots == 0) != (restriction is CancelRestriction.ONLY_NEW):
        return RejectReason.CANCEL_RESTRICTED
    return None


def _refuse_cancel(
    market: Market,
    account_id: int,
    reason: RejectReason | None,
    order_id: int | None = None,
    list_id: int | None = None,
) -> None:
    market.events.append(
        CancelRefused(
            account_id=account_id,
            reason=reason or RejectReason.UNKNOWN_ORDER,
            order_id=order_id,
            list_id=list_id,
        )
    )


def _cancel_one(market: Market, order: Order, carried_minor: int = 0) -> None:
    market.take_out(order)
    freed = market.freed(order, narration.need_minor(order, market.instrument))
    market.events.append(narration.canceled(order, freed - carried_minor, carried_minor, market.instrument))


# -- replace -----------------------------------------------------------------------------------


def replace(market: Market, command: ReplaceRestingOrder) -> None:
    terms, account_id = command.order, command.account_id
    order = market.book.orders.get(command.cancel_order_id)
    if order is not None and order.account_id != account_id:
        order = None
    refused = _not_cancelable(market, order, command.restriction, alone=True)
    reason, carried = _carried(market, command, None if refused is not None else order)
    if refused is not None or order is None:
        _refuse_cancel(market, account_id, refused, command.cancel_order_id)
        if command.mode is ReplaceMode.STOP_ON_FAILURE:
            reason = RejectReason.NOT_ATTEMPTED
        elif reason is not _INVALID and _name_taken(market, account_id, terms.client_order_id):
            reason = RejectReason.DUPLICATE_CLIENT_ORDER_ID
    else:
        _cancel_one(market, order, carried)
    locked = carried + command.reserved_minor
    if reason is not None:
        market.refuse(terms, account_id, reason, locked)
        return
    entering = order_of(market, terms, account_id, command.maker_fee_ppm, command.taker_fee_ppm)
    enter_order(market, entering, terms, locked)


def _name_taken(market: Market, account_id: int, client_order_id: str) -> bool:
    """The processor let the name pass for the order that was to go; nobody else's open one may have it."""
    return any(o.client_order_id == client_order_id for o in market.book.open_orders_of(account_id))


def _carried(
    market: Market, command: ReplaceRestingOrder, canceled: Order | None
) -> tuple[RejectReason | None, int]:
    """Return why the new order makes no sense or cannot be paid, or else what it takes over."""
    terms = command.order
    carried = terms.reserved_minor - command.reserved_minor
    open_order = market.book.orders.get(terms.order_id)
    if (
        (open_order is not None and open_order is not canceled)
        or carried < 0
        or command.reserved_minor < 0
        or not (fees_sane(command.maker_fee_ppm, command.taker_fee_ppm) and sane(terms, market.instrument))
    ):
        return RejectReason.INVALID_ORDER, 0
    free = 0
    if canceled is not None and canceled.side is terms.side:
        free = narration.need_minor(canceled, market.instrument)
    if carried > free:
        return RejectReason.INSUFFICIENT_LOCK, 0
    return None, carried


# -- amend and move ----------------------------------------------------------------------------


def amend(market: Market, command: AmendRestingOrder) -> None:
    order, quantity = _changeable(market, command.order_id, command.account_id), command.quantity_lots
    if isinstance(order, RejectReason):
        _refuse_change(market, command, order, 0)
        return
    reason = None
    if quantity <= 0 or not _fits(market, order, order.price_ticks, quantity):
        reason = RejectReason.INVALID_ORDER
    elif quantity > order.quantity_lots:
        reason = RejectReason.QUANTITY_INCREASE
    elif quantity == order.quantity_lots:
        reason = RejectReason.NO_CHANGE
    elif quantity <= order.executed_lots + order.prevented_lots:
        reason = RejectReason.QUANTITY_EXECUTED
    if reason is not None:
        _refuse_change(market, command, reason, 0)
    else:
        _lower(market, order, quantity, command.client_order_id, 0)


def move(market: Market, command: MoveRestingOrder) -> None:
    reserved = command.reserved_minor
    order = _changeable(market, command.order_id, command.account_id)
    if isinstance(order, RejectReason):
        _refuse_change(market, command, order, reserved)
        return
    price = order.price_ticks if command.price_ticks is None else command.price_ticks
    quantity = order.quantity_lots if command.quantity_lots is None else command.quantity_lots
    reason = _not_movable(market, order, price, quantity, reserved)
    if reason is not None:
        _refuse_change(market, command, reason, reserved)
    elif price == order.price_ticks and quantity < order.quantity_lots:
        _lower(market, order, quantity, order.client_order_id, reserved)
    else:
        _move(market, order, price, quantity, reserved)


def _changeable(market: Market, order_id: int, account_id: int) -> Order | RejectReason:
    order = market.book.orders.get(order_id)
    if order is None or order.account_id != account_id:
        return RejectReason.UNKNOWN_ORDER
    if order.list_id is not None:
        return RejectReason.ORDER_IN_LIST
    if market.state is not _TRADING and market.state is not _AUCTION:
        return RejectReason.MARKET_CLOSED
    return order


def _fits(market: Market, order: Order, price_ticks: int, quantity_lots: int) -> bool:
    """Tell whether base and quote value of an order would fit 63 bits."""
    most = max(quantity_lots * market.instrument.lot_minor, 0)
    return most <= MAX_AMOUNT and (
        price_ticks * quantity_lots * market.instrument.tick_lot_minor <= MAX_AMOUNT
    )


def _not_movable(
    market: Market, order: Order, price: int, quantity: int, reserved: int
) -> RejectReason | None:
    if (
        not (0 < price <= MAX_AMOUNT and quantity > 0 and 0 <= reserved <= MAX_AMOUNT)
        or not _fits(market, order, price, quantity)
        or order.place != PLAIN
    ):
        return RejectReason.INVALID_ORDER
    leaves = order.leaves_lots + quantity - order.quantity_lots
    if price == order.price_ticks and quantity == order.quantity_lots:
        return RejectReason.NO_CHANGE
    if leaves <= 0:
        return RejectReason.QUANTITY_EXECUTED
    if price == order.price_ticks and quantity < order.quantity_lots:
        return None
    return _not_enterable(market, order, price, leaves, reserved)


def _not_enterable(
    market: Market, order: Order, price: int, leaves: int, reserved: int
) -> RejectReason | None:
    if not within_band(price, order.side, market.instrument, market.last_price_ticks):
        return RejectReason.PRICE_BAND
    need = narration.need_minor(order, market.instrument)
    if _cost(market, order, price, leaves) > need + reserved:
        return RejectReason.INSUFFICIENT_LOCK
    takes = order.order_type is OrderType.LIMIT_MAKER and market.state is _TRADING
    return RejectReason.WOULD_TAKE if takes and market.book.would_take(order.side, price) else None


def _cost(market: Market, order: Order, price_ticks: int, lots: int) -> int:
    if order.side is _BUY:
        return price_ticks * lots * market.instrument.tick_lot_minor
    return lots * market.instrument.lot_minor


def _lower(market: Market, order: Order, quantity_lots: int, client_order_id: str, reserved: int) -> None:
    """Lower the quantity; the order keeps its place."""
    before, shown = narration.need_minor(order, market.instrument), order.shown_lots
    lots = order.quantity_lots - quantity_lots
    if order.place == PLAIN:
        market.book.ladder(order.side).reduce(order, lots)
        if order.shown_lots != shown:
            market.touch(order.side, order.price_ticks)
    else:
        order.leaves_lots -= lots
    order.quantity_lots = quantity_lots
    previous, order.client_order_id = order.client_order_id, client_order_id
    released = before - narration.need_minor(order, market.instrument) + reserved
    market.events.append(
        OrderAmended(
            order_id=order.order_id,
            account_id=order.account_id,
            side=order.side,
            client_order_id=client_order_id,
            previous_client_order_id=previous,
            quantity_lots=quantity_lots,
            leaves_lots=order.leaves_lots,
            released_minor=released,
        )
    )


def _move(market: Market, order: Order, price: int, quantity: int, reserved: int) -> None:
    """Take the order out and enter it again, under its old ids."""
    free = narration.need_minor(order, market.instrument) + reserved
    market.take_out(order)
    leaves = order.leaves_lots + quantity - order.quantity_lots
    moved = order.moved(price, quantity, leaves, market.sequence)
    if moved.conditions is not None:
        moved.conditions.hidden_lots = 0
    market.events.append(
        OrderMoved(
            order_id=moved.order_id,
            account_id=moved.account_id,
            side=moved.side,
            client_order_id=moved.client_order_id,
            price_ticks=price,
            quantity_lots=quantity,
            leaves_lots=leaves,
            released_minor=free - _cost(market, moved, price, leaves),
        )
    )
    match(market, moved)


def _refuse_change(
    market: Market, command: AmendRestingOrder | MoveRestingOrder, reason: RejectReason, released_minor: int
) -> None:
    order = market.book.orders.get(command.order_id)
    known = order is not None and order.account_id == command.account_id
    market.events.append(
        ChangeRefused(
            order_id=command.order_id,
            account_id=command.account_id,
            reason=reason,
            released_minor=released_minor,
            side=order.side if known and order is not None else None,
        )
    )
