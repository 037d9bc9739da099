"""Orders that enter: their checks, and their way to the held stops, through the book or to their end."""

from __future__ import annotations

from matcher import matching, narration
from matcher.entry_checks import closed_to, outside_band, would_take, would_trigger
from matcher.market import Market
from matcher.matching import RESTED, Ending
from matcher.order import Order
from matcher.stops import STOP_TYPES, start_trailing
from matcher.terms import fees_sane, sane
from matcher.trade_reports import tell_all
from schemas.commands import EnterOrder, OrderTerms
from schemas.events import OrderRested
from schemas.orders import MarketState, OrderType
from schemas.reasons import ExpiryReason, RejectReason

_LIMIT, _LIMIT_MAKER = OrderType.LIMIT, OrderType.LIMIT_MAKER
_TRADING, _AUCTION, _HALT = MarketState.TRADING, MarketState.AUCTION, MarketState.HALT
_FILLED = Ending.FILLED
_EXPIRY = {
    Ending.UNFILLED_IOC: ExpiryReason.UNFILLED_IOC_QUANTITY,
    Ending.UNFILLED_FOK: ExpiryReason.UNFILLED_FOK_ORDER,
    Ending.NO_LIQUIDITY: ExpiryReason.INSUFFICIENT_LIQUIDITY,
    Ending.SELF_TRADE: ExpiryReason.SELF_TRADE_PREVENTED,
    Ending.OUT_OF_RANGE: ExpiryReason.PRICE_RANGE_EXCEEDED,
}
_NO_TRADES: list[int] = []


def enter(market: Market, command: EnterOrder) -> None:
    fees = command.maker_fee_ppm, command.taker_fee_ppm
    if command.order_id in market.book.orders or not (fees_sane(*fees) and sane(command, market.instrument)):
        market.refuse(command, command.account_id, RejectReason.INVALID_ORDER, command.reserved_minor)
        return
    order = order_of(market, command, command.account_id, *fees)
    enter_order(market, order, command, command.reserved_minor)


def enter_order(market: Market, order: Order, terms: EnterOrder | OrderTerms, locked_minor: int) -> None:
    """Enter an order whose terms make sense; `locked_minor` is released if it is refused."""
    market.events.append(narration.entered(order, terms))
    reason = None if market.state is _TRADING else closed_to(order, market.state)
    if reason is None:
        reason = _misplaced_alone(market, order)
    if reason is None:
        place(market, order)
    else:
        market.refuse(terms, order.account_id, reason, locked_minor)


def _misplaced_alone(market: Market, order: Order) -> RejectReason | None:
    """Return why an order may not enter, for its prices."""
    last = market.last_price_ticks
    if last and outside_band(order, market.instrument, last):
        return RejectReason.PRICE_BAND
    if order.conditions is not None and would_trigger(order, last):
        return RejectReason.WOULD_TRIGGER
    if order.order_type is _LIMIT_MAKER and would_take(order, market.book):
        return RejectReason.WOULD_TAKE
    return None


def order_of(
    market: Market, terms: EnterOrder | OrderTerms, account_id: int, maker_fee_ppm: int, taker_fee_ppm: int
) -> Order:
    quantity = terms.quantity_lots or 0
    order = Order(
        terms.order_id,
        account_id,
        terms.client_order_id,
        terms.side,
        terms.order_type,
        terms.time_in_force,
        terms.price_ticks,
        quantity,
        quantity,
        0,
        maker_fee_ppm,
        market.now,
        market.sequence,
        taker_fee_ppm,
        terms.self_trade_prevention or market.instrument.self_trade_prevention,
    )
    if terms.strategy_id is not None or terms.strategy_type is not None:
        special = order.special()
        special.strategy_id, special.strategy_type = terms.strategy_id, terms.strategy_type
    if terms.order_type is _LIMIT and terms.display_lots is None:
        return order
    budget = terms.quote_budget_minor
    if budget is not None:
        special = order.special()
        special.quote_left = budget // market.instrument.tick_lot_minor
        special.budget_minor = budget if terms.quantity_lots is None else None
    if terms.order_type in STOP_TYPES:
        special = order.special()
        special.stop_price_ticks = terms.stop_price_ticks
        special.trailing_delta_bips = terms.trailing_delta_bips
    if terms.display_lots is not None:
        order.special().display_lots = terms.display_lots
    return order


def place(market: Market, order: Order, named: bool = False) -> None:
    """Let an order that passed its checks wait for its trigger, or match."""
    if order.order_type in STOP_TYPES:
        start_trailing(order, market.last_price_ticks)
        _hold(market, order)
    else:
        match(market, order, named)


def _hold(market: Market, order: Order) -> None:
    market.book.hold(order)
    market.stops.add(order)
    market.events.append(narration.held(order))


def match(market: Market, order: Order, named: bool = False) -> None:
    """Match an order, or in an auction rest it; tell its trades and its end. `named`: its trades carry
    its client id."""
    if market.state is _AUCTION:
        market.book.rest(order)
        _rested(market, order)
        return
    leaves = order.leaves_lots
    met, ending = matching.enter(market.book, order)
    trades = tell_all(market, order, leaves, met, named) if met else _NO_TRADES
    if ending is RESTED:
        _rested(market, order)
    elif ending is _FILLED:
        order.ended = True
        market.note_end(order, filled=True)
        market.events.append(narration.filled(order, market.freed(order, market.need(order))))
    else:
        market.end(order, _EXPIRY[ending])
    if ending is Ending.OUT_OF_RANGE and market.instrument.volatility is not None:
        market.become(_HALT, market.now + market.instrument.volatility.halt_ns, "volatility")
    if trades:
        market.see(trades)


def _rested(market: Market, order: Order) -> None:
    market.touched.append((order.side, order.price_ticks))
    market.events.append(
        OrderRested(
            order_id=order.order_id,
            account_id=order.account_id,
            side=order.side,
            price_ticks=order.price_ticks,
            leaves_lots=order.leaves_lots,
        )
    )
