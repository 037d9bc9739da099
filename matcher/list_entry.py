"""Order lists that enter: their checks, and the legs that enter with them or wait."""

from __future__ import annotations

from matcher import narration
from matcher.entry_checks import legs_misplaced, outside_band
from matcher.market import Market
from matcher.order_entry import order_of, place
from matcher.order_lists import OrderList
from matcher.terms import list_sane
from schemas.commands import EnterOrderList
from schemas.events import OrderListEntered, OrderListRefused
from schemas.orders import MarketState, Side
from schemas.reasons import RejectReason

_BUY = Side.BUY
_TRADING, _AUCTION = MarketState.TRADING, MarketState.AUCTION


def enter_list(market: Market, command: EnterOrderList) -> None:
    orders = market.book.orders
    if (
        command.list_id in market.lists
        or not list_sane(command, market.instrument)
        or any(leg.order_id in orders for leg in command.legs)
    ):
        _refuse_list(market, command, RejectReason.INVALID_ORDER)
        return
    fees = command.maker_fee_ppm, command.taker_fee_ppm
    legs = [order_of(market, terms, command.account_id, *fees) for terms in command.legs]
    made = OrderList(command.list_id, command.account_id, command.kind, command.client_order_id, legs)
    entering = legs if made.due else legs[:1]
    last = market.last_price_ticks
    reason = _closed_to_list(market)
    if reason is None and any(outside_band(leg, market.instrument, last) for leg in legs):
        reason = RejectReason.PRICE_BAND
    reason = reason or legs_misplaced(made, entering, market.book, last)
    if reason is not None:
        _refuse_list(market, command, reason)
        return
    market.lists[made.list_id] = made
    for leg in legs:
        leg.special().list_id = made.list_id
    if made.pair and not made.paid:
        made.shared_minor = max(market.need(leg) for leg in made.pair)
    market.events.append(
        OrderListEntered(
            list_id=made.list_id,
            account_id=made.account_id,
            kind=made.kind,
            client_order_id=made.client_order_id,
            order_ids=tuple(leg.order_id for leg in legs),
        )
    )
    market.events += map(narration.entered, legs, command.legs)
    for leg in made.pending:
        market.book.wait(leg)
        market.events.append(narration.held(leg))
    for leg in entering:
        leg.special().working_at_ns = market.now
        place(market, leg, named=True)


def _closed_to_list(market: Market) -> RejectReason | None:
    if market.state is _TRADING:
        return None
    return RejectReason.NOT_IN_AUCTION if market.state is _AUCTION else RejectReason.MARKET_CLOSED


def _refuse_list(market: Market, command: EnterOrderList, reason: RejectReason) -> None:
    market.events.append(
        OrderListRefused(
            list_id=command.list_id,
            account_id=command.account_id,
            side=command.legs[0].side if command.legs else _BUY,
            reason=reason,
            released_minor=command.reserved_minor,
        )
    )
