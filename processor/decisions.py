"""Decide a batch of requests, in order. Values in, values out: no clock, no random, no I/O.

Checks, in the order of `schemas.reasons.RejectReason`: request expired, unknown symbol, account
disabled (or unknown), duplicate client order id, terms (outside the instrument's limits, price band,
overflow, market notional), numbers of open orders, position and assets, funds. A cancel takes the first
three and then must name an order of the account on the symbol that has not ended as far as the database
knows; whether it is still open, the matcher decides.

Requests for a market (its state, the time) are passed on: what they do, the matcher decides.

A replace is refused whole when the new order's terms are wrong. When client order ids are duplicates:
`batch_view`; what is locked: `funds`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from processor.batch_view import BatchView
from processor.funds import Funds
from processor.ledger import WalletKey
from processor.order_limits import Placing
from processor.outcomes import Outcome, entered, entered_list, envelope, passed_on, rejected, replaced
from processor.position_limits import bought_by_list, bought_minor, moves_too_much
from processor.requests import OfAccount, OfMarket, Received
from processor.reservations import Reservation, Terms
from processor.view import View
from schemas.commands import (
    AmendOrder,
    AmendRestingOrder,
    CancelAllOrders,
    CancelOrder,
    CancelOrderList,
    CancelRestingList,
    CancelRestingOrder,
    CancelRestingOrders,
    EnterOrder,
    EnterOrderList,
    PlaceOrder,
    PlaceOrderList,
    ReplaceOrder,
    ReplaceRestingOrder,
)
from schemas.instruments import Instruments
from schemas.orders import ReplaceMode, Side
from schemas.reasons import RejectReason


class Decisions(msgspec.Struct, frozen=True):
    """One outcome per request, in the order of the requests, and what they lock together."""

    outcomes: list[Outcome]
    locked: dict[WalletKey, int]


def decide(requests: Sequence[Received], view: View, instruments: Instruments, now_ns: int) -> Decisions:
    """Decide each request as if those before it had been decided alone."""
    batch = _Batch(view, instruments, now_ns)
    return Decisions([batch.decide(received) for received in requests], batch.funds.locked)


class _Batch:
    def __init__(self, view: View, instruments: Instruments, now_ns: int) -> None:
        self._accounts = view.accounts
        self._symbols = instruments.symbols
        self._now_ns = now_ns
        self._view = BatchView(view, instruments, now_ns)
        self.funds = Funds(view, instruments)

    def decide(self, received: Received) -> Outcome:
        request = received.request
        if isinstance(request, OfMarket):
            return passed_on(received, request, self._now_ns)
        reason = self._common_refusal(received)
        outcome = self._decided(received, request) if reason is None else reason
        return outcome if not isinstance(outcome, RejectReason) else rejected(received, outcome, self._now_ns)

    def _decided(self, received: Received, request: OfAccount) -> Outcome | RejectReason:  # noqa: PLR0911
        if isinstance(request, PlaceOrder):
            return self._place(received, request)
        if isinstance(request, CancelOrder):
            return self._cancel(received, request)
        if isinstance(request, CancelAllOrders):
            command = envelope(received, self._now_ns)
            return CancelRestingOrders(**command, client_order_id=request.client_order_id)
        if isinstance(request, PlaceOrderList):
            return self._place_list(received, request)
        if isinstance(request, CancelOrderList):
            return self._cancel_list(received, request)
        if isinstance(request, ReplaceOrder):
            return self._replace(received, request)
        return self._amend(received, request)

    def _common_refusal(self, received: Received) -> RejectReason | None:
        request = received.request
        if request.expires_at_ns is not None and request.expires_at_ns < self._now_ns:
            return RejectReason.REQUEST_EXPIRED
        if request.symbol not in self._symbols:
            return RejectReason.UNKNOWN_SYMBOL
        account = self._accounts.get(request.account_id)
        if account is None or not account.active:
            return RejectReason.ACCOUNT_DISABLED
        return None

    # -- new orders -------------------------------------------------------------------------------

    def _place(self, received: Received, order: PlaceOrder) -> EnterOrder | RejectReason:
        account_id, symbol = order.account_id, order.symbol
        if self._view.is_duplicate((account_id, symbol, order.client_order_id), order):
            return RejectReason.DUPLICATE_CLIENT_ORDER_ID
        sized = self.funds.size(order, account_id, symbol)
        if isinstance(sized, RejectReason):
            return sized
        bought = bought_minor(order, sized, self._symbols[symbol], self.funds.market(symbol))
        full = self._over_limits(order, [(order, sized)], bought)
        if full is not None:
            return full
        if not self.funds.lock(account_id, symbol, order.side, sized.reserved_minor):
            return RejectReason.INSUFFICIENT_FUNDS
        command = entered(received, order, order, sized, self._accounts[account_id], self._now_ns)
        self._view.enter(order, command.order_id, order, sized)
        self._view.buy(order, bought)
        return command

    def _over_limits(
        self, request: Placing, orders: Sequence[tuple[Terms, Reservation]], bought: int
    ) -> RejectReason | None:
        """Return which count, then whether the position or an asset's limit, would be exceeded.

        `bought` is what the request adds to the account's position.
        """
        instrument = self._symbols[request.symbol]
        full = self._view.too_many(request, instrument)
        if full is not None:
            return full
        if self._view.holds_too_much(request, bought, instrument):
            return RejectReason.MAX_POSITION
        market = self.funds.market(request.symbol)
        if any(moves_too_much(order, sized, instrument, market) for order, sized in orders):
            return RejectReason.MAX_ASSET
        return None

    def _place_list(self, received: Received, request: PlaceOrderList) -> EnterOrderList | RejectReason:
        account_id, symbol = request.account_id, request.symbol
        if self._view.is_duplicate_list(request):
            return RejectReason.DUPLICATE_CLIENT_ORDER_ID
        if any(
            self._view.is_duplicate((account_id, symbol, leg.client_order_id), leg) for leg in request.legs
        ):
            return RejectReason.DUPLICATE_CLIENT_ORDER_ID
        sized = self.funds.size_list(request)
        if isinstance(sized, RejectReason):
            return sized
        bought = bought_by_list(request, sized, self._symbols[symbol])
        full = self._over_limits(request, list(zip(request.legs, sized, strict=True)), bought)
        if full is not None:
            return full
        reserved = self.funds.lock_list(request, sized)
        if reserved is None:
            return RejectReason.INSUFFICIENT_FUNDS
        account = self._accounts[account_id]
        command = entered_list(received, request, sized, reserved, account, self._now_ns)
        self._view.enter_list(request, command, sized)
        self._view.buy(request, bought)
        return command

    # -- changes of open orders -------------------------------------------------------------------

    def _cancel(self, received: Received, cancel: CancelOrder) -> CancelRestingOrder | RejectReason:
        target = self._view.order_named(cancel, cancel.order_id, cancel.orig_client_order_id)
        if target is None or not target.is_open:
            return RejectReason.UNKNOWN_ORDER
        return CancelRestingOrder(
            **envelope(received, self._now_ns),
            order_id=target.order_id,
            client_order_id=cancel.client_order_id,
            restriction=cancel.restriction,
        )

    def _cancel_list(self, received: Received, request: CancelOrderList) -> CancelRestingList | RejectReason:
        known = self._view.list_named(request.account_id, request.list_id, request.list_client_order_id)
        if known is None or not known.is_open:
            return RejectReason.UNKNOWN_ORDER
        if (known.account_id, known.symbol) != (request.account_id, request.symbol):
            return RejectReason.UNKNOWN_ORDER
        return CancelRestingList(
            **envelope(received, self._now_ns),
            list_id=known.list_id,
            client_order_id=request.client_order_id,
        )

    def _replace(
        self, received: Received, request: ReplaceOrder
    ) -> ReplaceRestingOrder | EnterOrder | RejectReason:
        order = request.order
        target = self._view.order_named(request, request.cancel_order_id, request.cancel_orig_client_order_id)
        if target is not None and not target.is_open:
            target = None
        client_key = (request.account_id, request.symbol, order.client_order_id)
        if self._view.is_duplicate(client_key, order, None if target is None else target.order_id):
            return RejectReason.DUPLICATE_CLIENT_ORDER_ID
        sized = self.funds.size_replace(request, target)
        if isinstance(sized, RejectReason):
            return sized
        if not sized.reserved_minor:  # a SELL by quote target, of nothing
            return RejectReason.INSUFFICIENT_FUNDS
        instrument = self._symbols[request.symbol]
        bought = bought_minor(order, sized, instrument, self.funds.market(request.symbol))
        if target is not None and target.side is Side.BUY:
            bought -= target.leaves_lots * instrument.lot_minor
        full = self._over_limits(request, [(order, sized)], bought)
        if full is not None:
            return full
        if target is None:
            return self._enter_instead(received, request, sized, bought)
        reserved, account = (
            self.funds.lock_replace(request, target, sized),
            self._accounts[request.account_id],
        )
        command = replaced(received, request, target.order_id, sized, reserved, account, self._now_ns)
        self._view.enter(request, command.order.order_id, order, sized)
        self._view.buy(request, max(bought, 0))
        return command

    def _enter_instead(
        self, received: Received, request: ReplaceOrder, sized: Reservation, bought: int
    ) -> EnterOrder | RejectReason:
        """There is nothing to cancel."""
        if request.mode is ReplaceMode.STOP_ON_FAILURE:
            return RejectReason.UNKNOWN_ORDER
        order = request.order
        if not self.funds.lock(request.account_id, request.symbol, order.side, sized.reserved_minor):
            return RejectReason.INSUFFICIENT_FUNDS
        account = self._accounts[request.account_id]
        command = entered(received, request, order, sized, account, self._now_ns)
        self._view.enter(request, command.order_id, order, sized)
        self._view.buy(request, bought)
        return command

    def _amend(self, received: Received, request: AmendOrder) -> AmendRestingOrder | RejectReason:
        target = self._view.order_named(
            request, request.order_id, None if request.order_id else request.orig_client_order_id
        )
        if target is None or not target.is_open:
            return RejectReason.UNKNOWN_ORDER
        if request.orig_client_order_id not in (None, target.client_order_id):
            return RejectReason.CLIENT_ORDER_ID_MISMATCH
        client_key = (request.account_id, request.symbol, request.client_order_id)
        other = self._view.newest(client_key)
        if other is not None and other.is_open and other.order_id != target.order_id:
            return RejectReason.DUPLICATE_CLIENT_ORDER_ID
        if target.amends >= self._symbols[request.symbol].max_order_amends:
            return RejectReason.MAX_NUM_ORDER_AMENDS
        self._view.amend(target, client_key)
        return AmendRestingOrder(
            **envelope(received, self._now_ns),
            order_id=target.order_id,
            quantity_lots=request.quantity_lots,
            client_order_id=request.client_order_id,
        )
