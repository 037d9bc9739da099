"""The view of one batch: names and counts as the requests decided so far have changed them. Pure.

Client order ids: refused while an order with that id is open on (account, symbol); free again once it
has ended, except that the same terms within 60 s are a retry and never make a second order. An order
list's own id is refused while a list with it is open, and for 60 s after it was placed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from processor.order_limits import Placing, counted, limit_of, reason_of, resting_orders
from processor.reservations import Reservation, Terms
from processor.view import (
    ClientKey,
    CountKey,
    KnownList,
    KnownOrder,
    ListKey,
    View,
    request_terms,
)
from schemas.commands import AmendOrder, CancelOrder, EnterOrderList, PlaceOrder, PlaceOrderList, ReplaceOrder
from schemas.instruments import Instrument, Instruments
from schemas.reasons import RejectReason

RETRY_WINDOW_NS = 60_000_000_000


class BatchView:
    def __init__(self, view: View, instruments: Instruments, now_ns: int) -> None:
        self._view = view
        self._instruments = instruments
        self._now_ns = now_ns
        self._newest: dict[ClientKey, KnownOrder] = {}
        self._orders: dict[int, KnownOrder] = {}
        self._newest_lists: dict[ListKey, KnownList] = {}
        self._lists: dict[int, KnownList] = {}
        self._rested: dict[tuple[int, str], int] = {}
        self._counted: dict[CountKey, int] = {}
        self._bought: dict[tuple[int, str], int] = {}

    # -- questions --------------------------------------------------------------------------------

    def newest(self, client_key: ClientKey) -> KnownOrder | None:
        return self._newest.get(client_key) or self._view.newest.get(client_key)

    def is_duplicate(self, client_key: ClientKey, order: Terms, replaced: int | None = None) -> bool:
        """`replaced`: the id of the order whose client order id the new one may take over."""
        known = self._newest.get(client_key) or self._view.newest.get(client_key)
        if known is None or known.order_id == replaced:
            return False
        if known.is_open:
            return True
        return self._now_ns - known.created_at_ns < RETRY_WINDOW_NS and known.terms == request_terms(order)

    def is_duplicate_list(self, request: PlaceOrderList) -> bool:
        known = self.list_named(request.account_id, None, request.client_order_id)
        return known is not None and (known.is_open or self._now_ns - known.created_at_ns < RETRY_WINDOW_NS)

    def order_named(
        self, request: CancelOrder | ReplaceOrder | AmendOrder, order_id: int | None, orig: str | None
    ) -> KnownOrder | None:
        """Return the order that the request names, if it is the account's and on the symbol."""
        if order_id is None:
            assert orig is not None
            return self.newest((request.account_id, request.symbol, orig))
        target = self._orders.get(order_id) or self._view.orders.get(order_id)
        if target is None or (target.account_id, target.symbol) != (request.account_id, request.symbol):
            return None
        return target if orig in (None, target.client_order_id) else None

    def list_named(
        self, account_id: int, list_id: int | None, client_order_id: str | None
    ) -> KnownList | None:
        """Return the list of that id, whoever's it is, else the account's newest of that client id."""
        if list_id is None:
            assert client_order_id is not None
            list_key = (account_id, client_order_id)
            return self._newest_lists.get(list_key) or self._view.newest_lists.get(list_key)
        known = self._lists.get(list_id) or self._view.lists.get(list_id)
        if known is None or client_order_id not in (None, known.client_order_id):
            return None
        return known

    def too_many(self, request: Placing, instrument: Instrument) -> RejectReason | None:
        """Return which limit of the symbol, or over all symbols, the request would exceed, if any."""
        pair = (request.account_id, request.symbol)
        resting = resting_orders(request)
        if resting:
            count = self._view.open_counts.get(pair, 0) + self._rested.get(pair, 0)
            if count + resting > instrument.max_open_orders:
                return RejectReason.MAX_NUM_ORDERS
        for count_key, more in counted(request, self._instruments.exchange).items():
            count = self._view.counts.get(count_key, 0) + self._counted.get(count_key, 0)
            limit = limit_of(count_key, self._instruments)
            if limit is not None and count + more > limit:
                return reason_of(count_key)
        return None

    def holds_too_much(self, request: Placing, bought_minor: int, instrument: Instrument) -> bool:
        """Return whether the account's position would exceed MAX_POSITION."""
        most = instrument.max_position_lots
        if most is None or bought_minor <= 0:
            return False
        pair = (request.account_id, request.symbol)
        have = self._view.positions.get(pair, 0) + self._bought.get(pair, 0)
        return have + bought_minor > most * instrument.lot_minor

    def buy(self, request: Placing, bought_minor: int) -> None:
        """Count what an accepted request may bring."""
        pair = (request.account_id, request.symbol)
        self._bought[pair] = self._bought.get(pair, 0) + bought_minor

    # -- what the batch did -----------------------------------------------------------------------

    def enter(
        self, request: PlaceOrder | ReplaceOrder, order_id: int, order: Terms, sized: Reservation
    ) -> None:
        self._count(request)
        self._remember(request.account_id, request.symbol, order_id, order, sized)

    def enter_list(
        self, request: PlaceOrderList, entered: EnterOrderList, sized: Sequence[Reservation]
    ) -> None:
        account_id, symbol = request.account_id, request.symbol
        for leg, terms, one in zip(request.legs, entered.legs, sized, strict=True):
            self._remember(account_id, symbol, terms.order_id, leg, one)
        self._count(request)
        known = KnownList(entered.list_id, account_id, symbol, request.client_order_id, self._now_ns, True)
        self._newest_lists[account_id, request.client_order_id] = self._lists[entered.list_id] = known

    def amend(self, target: KnownOrder, client_key: ClientKey) -> None:
        """Give the order its new client order id, and count the amend."""
        renamed = msgspec.structs.replace(target, amends=target.amends + 1)
        self._orders[target.order_id] = self._newest[client_key] = renamed

    def _count(self, request: Placing) -> None:
        pair = (request.account_id, request.symbol)
        if resting := resting_orders(request):
            self._rested[pair] = self._rested.get(pair, 0) + resting
        for count_key, more in counted(request, self._instruments.exchange).items():
            self._counted[count_key] = self._counted.get(count_key, 0) + more

    def _remember(
        self, account_id: int, symbol: str, order_id: int, order: Terms, sized: Reservation
    ) -> None:
        known = KnownOrder(
            order_id,
            account_id,
            symbol,
            order.client_order_id,
            request_terms(order),
            self._now_ns,
            True,
            order.side,
            sized.price_ticks,
            sized.quantity_lots or 0,
        )
        self._newest[account_id, symbol, order.client_order_id] = self._orders[order_id] = known
