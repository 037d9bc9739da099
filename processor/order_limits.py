"""How many open orders, stops, icebergs and lists a request adds, and how many there may be. Pure.

The limits of a symbol come first, then those over all symbols.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from processor.reservations import Terms
from processor.view import ALL_SYMBOLS, Counted, CountKey, rests
from schemas.commands import PlaceOrder, PlaceOrderList, ReplaceOrder
from schemas.instruments import ExchangeLimits, Instruments
from schemas.orders import STOP_TYPES
from schemas.reasons import RejectReason

Placing = PlaceOrder | PlaceOrderList | ReplaceOrder
"""What may bring orders to the book."""
_REASON_OF = {
    Counted.ORDERS: RejectReason.MAX_NUM_ORDERS,
    Counted.ALGO_ORDERS: RejectReason.MAX_NUM_ALGO_ORDERS,
    Counted.ICEBERG_ORDERS: RejectReason.MAX_NUM_ICEBERG_ORDERS,
    Counted.ORDER_LISTS: RejectReason.MAX_NUM_ORDER_LISTS,
}
_EXCHANGE_REASON_OF = {
    Counted.ORDERS: RejectReason.EXCHANGE_MAX_NUM_ORDERS,
    Counted.ALGO_ORDERS: RejectReason.EXCHANGE_MAX_NUM_ALGO_ORDERS,
    Counted.ICEBERG_ORDERS: RejectReason.EXCHANGE_MAX_NUM_ICEBERG_ORDERS,
    Counted.ORDER_LISTS: RejectReason.EXCHANGE_MAX_NUM_ORDER_LISTS,
}
_NOTHING: Counter[Counted] = Counter()


def reason_of(count_key: CountKey) -> RejectReason:
    reasons = _REASON_OF if count_key[1] else _EXCHANGE_REASON_OF
    return reasons[count_key[2]]


def limit_of(count_key: CountKey, instruments: Instruments) -> int | None:
    """Return how many there may be; None: any number."""
    _, symbol, kind = count_key
    limits = instruments.symbols[symbol] if symbol else instruments.exchange
    if kind is Counted.ORDERS:
        return limits.max_open_orders
    if kind is Counted.ALGO_ORDERS:
        return limits.max_algo_orders
    return limits.max_iceberg_orders if kind is Counted.ICEBERG_ORDERS else limits.max_order_lists


def counted(request: Placing, limits: ExchangeLimits) -> dict[CountKey, int]:
    """Return what the request adds to, beside the open orders of its symbol, in the order of checks."""
    account_id, kinds = request.account_id, counted_kinds(request)
    found: dict[CountKey, int] = {(account_id, request.symbol, kind): more for kind, more in kinds.items()}
    if limits.max_open_orders is not None and (resting := resting_orders(request)):
        found[account_id, ALL_SYMBOLS, Counted.ORDERS] = resting
    if kinds:
        for kind, most in (
            (Counted.ALGO_ORDERS, limits.max_algo_orders),
            (Counted.ICEBERG_ORDERS, limits.max_iceberg_orders),
            (Counted.ORDER_LISTS, limits.max_order_lists),
        ):
            if most is not None and kind in kinds:
                found[account_id, ALL_SYMBOLS, kind] = kinds[kind]
    return found


def counted_kinds(request: Placing) -> Counter[Counted]:
    """Return what the request adds to, beside open orders. Most add nothing."""
    if isinstance(request, PlaceOrder) and not request.display_lots and request.order_type not in STOP_TYPES:
        return _NOTHING
    found: Counter[Counted] = Counter()
    for order in orders_of(request):
        found[Counted.ALGO_ORDERS] += order.order_type in STOP_TYPES
        found[Counted.ICEBERG_ORDERS] += order.display_lots is not None
    found[Counted.ORDER_LISTS] = int(isinstance(request, PlaceOrderList))
    return +found


def resting_orders(request: Placing) -> int:
    """Return how many open orders the request may make. Every leg of a list is one."""
    if isinstance(request, PlaceOrder):
        return 1 if rests(request) else 0
    if isinstance(request, PlaceOrderList):
        return len(request.legs)
    return 1 if rests(request.order) else 0


def orders_of(request: Placing) -> Sequence[Terms]:
    """Return the orders that the request may bring."""
    if isinstance(request, PlaceOrder):
        return (request,)
    return request.legs if isinstance(request, PlaceOrderList) else (request.order,)
