"""What a batch of requests asks of the database. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from processor.ledger import WalletKey
from processor.open_counts import Pair
from processor.order_limits import Placing, orders_of
from processor.position_limits import may_buy
from processor.requests import Received, Request
from processor.reservations import locked_asset
from processor.view import ClientKey, CountKey, KnownOrder, ListKey
from schemas.commands import (
    AmendOrder,
    CancelOrder,
    CancelOrderList,
    PlaceOrder,
    PlaceOrderList,
    ReplaceOrder,
)
from schemas.instruments import Instruments
from schemas.orders import MARKET_TYPES, Side


class Questions(msgspec.Struct, frozen=True):
    """What a batch asks of the database."""

    positions: Mapping[int, int]
    """partition -> the offset it must stand at."""
    accounts: Sequence[int]
    wallets: Sequence[WalletKey]
    client_keys: Sequence[ClientKey]
    order_ids: Sequence[int]
    open_counts: Sequence[Pair] = ()
    """Read here only when the hot book cannot tell."""
    counts: Sequence[CountKey] = ()
    positions_held: Sequence[Pair] = ()
    """Where a BUY may come up against MAX_POSITION. Their base wallets are among `wallets`."""
    list_ids: Sequence[int] = ()
    list_keys: Sequence[ListKey] = ()
    symbols: Sequence[str] = ()
    """Whose last prices are asked for."""


def priced_symbols(received: Sequence[Received], instruments: Instruments) -> dict[str, bool]:
    """Return the symbols whose prices decide on orders. True: the best ones too, for a market order."""
    found: dict[str, bool] = {}
    for one in received:
        request = one.request
        if isinstance(request, Placing) and request.symbol in instruments.symbols:
            best = any(order.order_type in MARKET_TYPES for order in orders_of(request))
            found[request.symbol] = best or found.get(request.symbol, False)
    return found


def questions(received: Sequence[Received], instruments: Instruments) -> Questions:
    """Return what the requests name. Positions, counts and symbols, the caller adds."""
    accounts: set[int] = set()
    wallets: set[WalletKey] = set()
    client_keys: set[ClientKey] = set()
    order_ids: set[int] = set()
    list_ids: set[int] = set()
    list_keys: set[ListKey] = set()
    held: set[Pair] = set()
    for one in received:
        request = one.request
        accounts.add(request.account_id)
        instrument = instruments.get(request.symbol)
        if instrument is None:
            continue
        wallets.update((request.account_id, locked_asset(side, instrument)) for side in _sides(request))
        if instrument.max_position_lots is not None and isinstance(request, Placing) and may_buy(request):
            held.add((request.account_id, request.symbol))
            wallets.add((request.account_id, instrument.base.name))
        client_keys.update(new_client_keys(request))
        order_id, orig = _named(request)
        if order_id is not None:
            order_ids.add(order_id)
        elif orig is not None:
            client_keys.add((request.account_id, request.symbol, orig))
        if isinstance(request, PlaceOrderList):
            list_keys.add((request.account_id, request.client_order_id))
        elif isinstance(request, CancelOrderList):
            if request.list_id is not None:
                list_ids.add(request.list_id)
            elif request.list_client_order_id is not None:
                list_keys.add((request.account_id, request.list_client_order_id))
    return Questions(
        positions={},
        accounts=sorted(accounts),
        wallets=sorted(wallets),
        client_keys=sorted(client_keys),
        order_ids=sorted(order_ids),
        positions_held=sorted(held),
        list_ids=sorted(list_ids),
        list_keys=sorted(list_keys),
    )


def new_client_keys(request: Request) -> list[ClientKey]:
    """Return the client order ids that the request wants to give to orders."""
    account_id, symbol = request.account_id, request.symbol
    if isinstance(request, PlaceOrder | AmendOrder):
        return [(account_id, symbol, request.client_order_id)]
    if isinstance(request, ReplaceOrder):
        return [(account_id, symbol, request.order.client_order_id)]
    if isinstance(request, PlaceOrderList):
        return [(account_id, symbol, leg.client_order_id) for leg in request.legs]
    return []


def named_orders(
    received: Sequence[Received], newest: Mapping[ClientKey, KnownOrder], orders: Mapping[int, KnownOrder]
) -> list[KnownOrder]:
    """Return the stored orders that replaces name."""
    found = {}
    for one in received:
        request = one.request
        if isinstance(request, ReplaceOrder):
            order_id, orig = _named(request)
            if order_id is not None:
                target = orders.get(order_id)
            else:
                target = newest.get((request.account_id, request.symbol, orig or ""))
            if target is not None and target.is_open:
                found[target.order_id] = target
    return list(found.values())


def _sides(request: Request) -> tuple[Side, ...]:
    if isinstance(request, PlaceOrder):
        return (request.side,)
    if isinstance(request, ReplaceOrder):
        return (request.order.side,)
    return tuple(leg.side for leg in request.legs) if isinstance(request, PlaceOrderList) else ()


def _named(request: Request) -> tuple[int | None, str | None]:
    """Return the order id and the client order id by which the request names an order."""
    if isinstance(request, CancelOrder | AmendOrder):
        return request.order_id, request.orig_client_order_id
    if isinstance(request, ReplaceOrder):
        return request.cancel_order_id, request.cancel_orig_client_order_id
    return None, None
