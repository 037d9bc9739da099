"""Telling trades and prevented matches, with what they cost, free and leave locked."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import force_setattr

from matcher import narration
from matcher.market import Market
from matcher.matching import Met
from matcher.order import Order
from matcher.self_trade import Prevented
from schemas.events import MatchPrevented, OrdersTraded
from schemas.money import fee_minor
from schemas.orders import Side
from schemas.reasons import ExpiryReason

_BUY, _SELL = Side.BUY, Side.SELL


def tell_all(market: Market, taker: Order, leaves: int, met: Sequence[Met], named: bool) -> list[int]:
    """Tell of the resting orders that were met, the taker standing as it did then. Return the prices of
    the trades."""
    prices = []
    by_budget = taker.conditions is not None and taker.conditions.budget_minor is not None
    for each in met:
        if isinstance(each, Prevented):
            leaves -= 0 if by_budget else each.taker_lots
            taker.leaves_lots = leaves
            _tell_prevented(market, taker, each)
            continue
        maker, price_ticks, lots, maker_leaves = each
        leaves -= 0 if by_budget else lots
        taker.leaves_lots = leaves
        market.touched.append((maker.side, price_ticks))
        tell_trade(market, taker, maker, price_ticks, lots, (leaves if named else None, maker_leaves), named)
        prices.append(price_ticks)
        if not maker_leaves:
            market.note_end(maker, filled=True)
            market.events.append(narration.filled(maker))
    return prices


def tell_trade(
    market: Market,
    taker: Order,
    maker: Order,
    price_ticks: int,
    lots: int,
    leaves: tuple[int | None, int],
    named: bool,
    taker_fee_ppm: int | None = None,
) -> None:
    unit = market.instrument.tick_lot_minor
    base, quote = lots * market.instrument.lot_minor, price_ticks * lots * unit
    taker_buys = taker.side is _BUY
    buyer, seller = (taker, maker) if taker_buys else (maker, taker)
    special = buyer.conditions
    lock = buyer.price_ticks * lots * unit
    if special is not None and special.budget_minor is not None:
        lock = quote
        special.budget_minor -= quote
    to_taker, to_maker = (base, quote) if taker_buys else (quote, base)
    taker_fee = fee_minor(to_taker, taker.taker_fee_ppm if taker_fee_ppm is None else taker_fee_ppm)
    maker_fee = fee_minor(to_maker, maker.maker_fee_ppm)
    receipt = False
    if special is not None and special.list_id is not None:
        receipt = _receive(market, buyer, base - (taker_fee if taker_buys else maker_fee))
        _use_lock(market, buyer, lock)
    if seller.conditions is not None and seller.conditions.list_id is not None:
        _use_lock(market, seller, base)
    market.trade_id += 1
    market.last_price_ticks = price_ticks
    told = OrdersTraded(
        trade_id=market.trade_id,
        price_ticks=price_ticks,
        quantity_lots=lots,
        base_minor=base,
        quote_minor=quote,
        taker_side=taker.side,
        taker_order_id=taker.order_id,
        taker_account_id=taker.account_id,
        taker_fee_minor=taker_fee,
        maker_order_id=maker.order_id,
        maker_account_id=maker.account_id,
        maker_client_order_id=maker.client_order_id,
        maker_fee_minor=maker_fee,
        maker_leaves_lots=leaves[1],
        buyer_lock_minor=lock,
    )
    if named:
        force_setattr(told, "taker_client_order_id", taker.client_order_id)
        force_setattr(told, "taker_leaves_lots", leaves[0])
    if receipt:
        force_setattr(told, "buyer_receipt_locked", True)
    market.events.append(told)


def _receive(market: Market, buyer: Order, received_minor: int) -> bool:
    """Keep what an OPO's working order receives for its pending legs."""
    found = market.list_of(buyer)
    if found is None or not found.paid or buyer is not found.working:
        return False
    found.received_minor += received_minor
    return True


def _use_lock(market: Market, order: Order, used_minor: int) -> None:
    found = market.list_of(order)
    if found is not None and found.due and found.sibling(order) is not None:
        found.shared_minor -= used_minor
        market.happened.append((found, order, False))


def _tell_prevented(market: Market, taker: Order, met: Prevented) -> None:
    maker = met.maker
    market.prevented_match_id += 1
    if met.shown_lots:
        market.touch(maker.side, met.price_ticks)
    taker_freed, maker_freed = _worth(market, taker, met, met.taker_lots), 0
    if taker.conditions is not None and taker.conditions.budget_minor is not None:
        taker.conditions.budget_minor -= taker_freed
    elif met.taker_lots:
        taker_freed = market.freed(taker, taker_freed)
    if met.maker_lots:
        maker_freed = market.freed(maker, _worth(market, maker, met, met.maker_lots))
    market.events.append(
        MatchPrevented(
            prevented_match_id=market.prevented_match_id,
            account_id=taker.account_id,
            mode=taker.self_trade_prevention,
            price_ticks=met.price_ticks,
            taker_side=taker.side,
            taker_order_id=taker.order_id,
            taker_prevented_lots=met.taker_lots,
            taker_released_minor=taker_freed,
            maker_order_id=maker.order_id,
            maker_prevented_lots=met.maker_lots,
            maker_released_minor=maker_freed,
            maker_leaves_lots=met.maker_leaves,
        )
    )
    if not met.maker_leaves:
        market.end(maker, ExpiryReason.SELF_TRADE_PREVENTED)


def _worth(market: Market, order: Order, met: Prevented, lots: int) -> int:
    """Return what lots of an order need locked."""
    if order.side is _SELL:
        return lots * market.instrument.lot_minor
    by_budget = order.conditions is not None and order.conditions.budget_minor is not None
    price_ticks = met.price_ticks if by_budget else order.price_ticks
    return price_ticks * lots * market.instrument.tick_lot_minor
