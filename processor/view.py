"""What decisions ask of the world, as of the batch's transaction. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from processor.ledger import WalletKey
from processor.reservations import Market, Terms
from schemas.commands import EnterOrder, OrderTerms
from schemas.orders import MARKET_TYPES, STOP_TYPES, OrderType, Side, TimeInForce

ClientKey = tuple[int, str, str]
"""(account id, symbol, client order id)"""
ListKey = tuple[int, str]
"""(account id, client id of the list)"""


class Counted(StrEnum):
    """What an account may have only so many of: on a symbol, or on ALL_SYMBOLS."""

    ORDERS = "orders"
    """Over all symbols; of one symbol they are `View.open_counts`."""
    ALGO_ORDERS = "algo_orders"
    ICEBERG_ORDERS = "iceberg_orders"
    ORDER_LISTS = "order_lists"


ALL_SYMBOLS = ""
"""Stands for the symbol of what is counted over all of them."""
CountKey = tuple[int, str, Counted]
"""(account id, symbol, what is counted)"""


class Account(msgspec.Struct, frozen=True, gc=False):
    active: bool
    maker_fee_ppm: int
    taker_fee_ppm: int


class KnownOrder(msgspec.Struct, frozen=True, gc=False):
    """What decisions need of an accepted order."""

    order_id: int
    account_id: int
    symbol: str
    client_order_id: str
    terms: tuple[str | int | None, ...]
    created_at_ns: int
    is_open: bool
    side: Side = Side.BUY
    price_ticks: int = 0
    leaves_lots: int = 0
    """As far as is known: what it may still have locked."""
    amends: int = 0


def by_client_key(named: Iterable[KnownOrder]) -> dict[ClientKey, KnownOrder]:
    """Return the order that each client order id means: the open one, else the newest."""
    found: dict[ClientKey, KnownOrder] = {}
    for order in sorted(named, key=lambda o: (o.is_open, o.order_id)):
        found[order.account_id, order.symbol, order.client_order_id] = order
    return found


class KnownList(msgspec.Struct, frozen=True, gc=False):
    list_id: int
    account_id: int
    symbol: str
    client_order_id: str
    created_at_ns: int
    is_open: bool


class View(msgspec.Struct, frozen=True, kw_only=True):
    """All that the batch may ask of the world, as of its transaction."""

    accounts: Mapping[int, Account]
    available: Mapping[WalletKey, int]
    newest: Mapping[ClientKey, KnownOrder]
    """The order that each client order id which the batch names means: the open one, else the newest."""
    orders: Mapping[int, KnownOrder]
    """The orders that the batch names by order id."""
    open_counts: Mapping[tuple[int, str], int]
    markets: Mapping[str, Market]
    counts: Mapping[CountKey, int] = {}
    lists: Mapping[int, KnownList] = {}
    newest_lists: Mapping[ListKey, KnownList] = {}
    positions: Mapping[tuple[int, str], int] = {}
    """(account id, symbol) -> base minor units that it has, and that its open BUY orders there may bring."""


def request_terms(order: Terms) -> tuple[str | int | None, ...]:
    """Return what must be equal for a second request to be a retry of the first."""
    by_quote = order.quote_quantity_minor is not None
    return (
        order.side,
        order.order_type,
        order.time_in_force,
        None if order.order_type in MARKET_TYPES else order.price_ticks,
        None if by_quote else order.quantity_lots,
        order.quote_quantity_minor,
        order.stop_price_ticks,
        order.trailing_delta_bips,
        order.display_lots,
    )


def stored_terms(
    side: str,
    order_type: str,
    time_in_force: str,
    price: int,
    quantity: int | None,
    budget: int | None,
    *more: int | None,
) -> tuple[str | int | None, ...]:
    """Return `request_terms` of the request behind a row of `orders` (a market order's price is ours).

    `more` are stop price, trailing delta and display lots.
    """
    shown_price = None if order_type in MARKET_TYPES else price
    shown_quantity = None if budget is not None else quantity
    return (side, order_type, time_in_force, shown_price, shown_quantity, budget, *(more or (None,) * 3))


def rests(order: Terms | EnterOrder | OrderTerms) -> bool:
    """Only such orders count as open orders."""
    if order.order_type is OrderType.LIMIT:
        return order.time_in_force is TimeInForce.GTC
    if order.order_type in STOP_TYPES:
        return True
    return order.order_type is not OrderType.MARKET and order.time_in_force is TimeInForce.GTC
