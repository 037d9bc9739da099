"""What follows from what was done: stops are triggered, legs of lists end, or enter when it is their turn."""

from __future__ import annotations

from collections.abc import Sequence

from matcher.entry_checks import legs_misplaced
from matcher.market import Market
from matcher.order import PLAIN, Order
from matcher.order_entry import match, place
from matcher.order_lists import OrderList
from schemas.events import OrderActivated, OrderListEnded, OrderRefused, OrderTriggered
from schemas.orders import MarketState
from schemas.reasons import ExpiryReason, RejectReason

_TRADING = MarketState.TRADING


def follow(market: Market) -> None:
    """Let everything happen that follows from what was done, until nothing does."""
    while market.happened or market.row:
        if market.happened:
            found, leg, ended = market.happened.popleft()
            if ended:
                _leg_ended(market, found, leg)
            else:
                _leg_traded(market, found, leg)
        elif market.state is not _TRADING:
            _let_go(market)
        else:
            order = market.row.popleft()
            if not order.ended:
                _trigger(market, order)


def _let_go(market: Market) -> None:
    """Orders cannot enter: the stops in the row stay held as they were."""
    for order in market.row:
        if not order.ended:
            market.stops.add(order)
    market.row.clear()


def _trigger(market: Market, order: Order) -> None:
    market.book.release(order)
    special = order.special()
    special.place, special.working_at_ns = PLAIN, market.now
    market.events.append(
        OrderTriggered(order_id=order.order_id, account_id=order.account_id, side=order.side)
    )
    found = market.list_of(order)
    if found is not None:
        market.happened.append((found, order, False))
    match(market, order, named=True)


def _leg_traded(market: Market, found: OrderList, leg: Order) -> None:
    sibling = found.sibling(leg)
    if sibling is not None and not sibling.ended:
        market.end(sibling, ExpiryReason.OCO_TRIGGER)


def _leg_ended(market: Market, found: OrderList, leg: Order) -> None:
    if leg is found.working:
        filled = leg.order_id in market.filled
        waiting = [other for other in found.pending if not other.ended]
        if waiting and not found.due:
            if filled:
                _activate(market, found, waiting)
            else:
                _expire(market, waiting, ExpiryReason.OTO_PHASE_ONE)
    market.filled.discard(leg.order_id)
    if market.lists.get(found.list_id) is found and not found.open_legs():
        del market.lists[found.list_id]
        market.events.append(OrderListEnded(list_id=found.list_id, account_id=found.account_id))


def _expire(market: Market, legs: Sequence[Order], reason: ExpiryReason) -> None:
    for leg in legs:
        market.end(leg, reason)


def _activate(market: Market, found: OrderList, legs: Sequence[Order]) -> None:
    """Let pending legs enter, now that the working order is filled."""
    if market.state is not _TRADING:
        _expire(market, legs, ExpiryReason.MARKET_CLOSED)
        return
    rest = 0
    if found.paid:
        lots, rest = divmod(found.received_minor, market.instrument.lot_minor)
        if not lots:
            _expire(market, legs, ExpiryReason.OPO_TOO_SMALL)
            return
        for leg in legs:
            leg.quantity_lots = leg.leaves_lots = lots
        found.shared_minor = found.received_minor - rest if found.pair else 0
        found.received_minor = 0
    found.due = True
    reason = legs_misplaced(found, legs, market.book, market.last_price_ticks)
    for leg in legs:
        market.book.release(leg)
        special = leg.special()
        special.place, special.working_at_ns = PLAIN, market.now
        market.events.append(
            OrderActivated(
                order_id=leg.order_id,
                account_id=leg.account_id,
                side=leg.side,
                quantity_lots=leg.quantity_lots,
                released_minor=rest,
            )
        )
        rest = 0
        if reason is None:
            place(market, leg, named=True)
        else:
            _refuse_leg(market, leg, reason)


def _refuse_leg(market: Market, leg: Order, reason: RejectReason) -> None:
    leg.ended = True
    market.note_end(leg)
    market.events.append(
        OrderRefused(
            order_id=leg.order_id,
            account_id=leg.account_id,
            side=leg.side,
            reason=reason,
            released_minor=market.freed(leg, market.need(leg)),
        )
    )
