"""Cancels, and replaces: a cancel whose lock pays for another order."""

from __future__ import annotations

from schemas import commands as c
from schemas import events as e
from schemas.orders import CancelRestriction, MarketState, ReplaceMode
from schemas.reasons import RejectReason
from tests.simulation.matcher.envelope import Command
from tests.simulation.matcher.naive.entering import Entering
from tests.simulation.matcher.naive.open_order import OpenOrder


class Canceling(Entering):
    # -- canceling ----------------------------------------------------------------------------

    def cancel_order(self, command: c.CancelRestingOrder) -> None:
        order = self.book.find(command.order_id, command.account_id)
        refused = self.cancel_refusal(order, command.restriction)
        if refused is not None:
            self.refuse_cancel(command, refused, order_id=command.order_id)
        else:
            assert order is not None
            of = order.order_list
            self.cancel_each([order] if of is None else of.open_legs())

    def cancel_all(self, command: c.CancelRestingOrders) -> None:
        orders = self.book.open_orders_of(command.account_id)
        if self.state is MarketState.BREAK:
            self.refuse_cancel(command, RejectReason.MARKET_CLOSED)
        elif not orders:
            self.refuse_cancel(command, RejectReason.UNKNOWN_ORDER)
        self.cancel_each([] if self.state is MarketState.BREAK else orders)

    def cancel_list(self, command: c.CancelRestingList) -> None:
        key = (command.list_id, command.account_id)
        of = next((of for of in self.lists if (of.list_id, of.account_id) == key), None)
        if self.state is MarketState.BREAK:
            self.refuse_cancel(command, RejectReason.MARKET_CLOSED, list_id=command.list_id)
        elif of is None:
            self.refuse_cancel(command, RejectReason.UNKNOWN_ORDER, list_id=command.list_id)
        else:
            self.cancel_each(of.open_legs())

    def cancel_refusal(
        self, order: OpenOrder | None, restriction: CancelRestriction | None, *, no_leg: bool = False
    ) -> RejectReason | None:
        if self.state is MarketState.BREAK:
            return RejectReason.MARKET_CLOSED
        if order is None:
            return RejectReason.UNKNOWN_ORDER
        if no_leg and order.order_list is not None:
            return RejectReason.ORDER_IN_LIST
        asked_for_new = restriction is CancelRestriction.ONLY_NEW
        if restriction is not None and asked_for_new == (order.executed_lots > 0):
            return RejectReason.CANCEL_RESTRICTED
        return None

    def refuse_cancel(self, command: Command, reason: RejectReason, **named: int) -> None:
        self.events.append(e.CancelRefused(account_id=command.account_id, reason=reason, **named))

    def cancel_each(self, orders: list[OpenOrder]) -> None:
        for order in orders:
            self.close(order)
            self.tell_canceled(order, 0)

    def tell_canceled(self, order: OpenOrder, carried_minor: int) -> None:
        order.lock.use(carried_minor)
        self.events.append(
            e.OrderCanceled(
                order_id=order.order_id,
                account_id=order.account_id,
                client_order_id=order.client_order_id,
                side=order.side,
                order_type=order.order_type,
                time_in_force=order.time_in_force,
                price_ticks=order.price_ticks,
                quantity_lots=order.quantity_lots or 0,
                leaves_lots=order.leaves_lots,
                executed_quote_minor=order.executed_quote_minor,
                released_minor=order.lock.release(),
                entered_at_ns=order.entered_at_ns,
                stop_price_ticks=order.stop_price_ticks,
                trailing_delta_bips=order.trailing_delta_bips,
                display_lots=order.display_lots,
                self_trade_prevention=order.mode,
                prevented_lots=order.prevented_lots,
                list_id=order.order_list.list_id if order.order_list else None,
                carried_minor=carried_minor,
            )
        )

    # -- replace ------------------------------------------------------------------------------

    def replace_order(self, command: c.ReplaceRestingOrder) -> None:
        terms = command.order
        old = self.book.find(command.cancel_order_id, command.account_id)
        cancel_refused = self.cancel_refusal(old, command.restriction, no_leg=True)
        set_free, name_taken = 0, False
        if cancel_refused is not None:
            self.refuse_cancel(command, cancel_refused, order_id=command.cancel_order_id)
            if command.mode is ReplaceMode.STOP_ON_FAILURE:
                self.events.append(self.refusal(terms, command, RejectReason.NOT_ATTEMPTED))
                return
            name_taken = terms.client_order_id in [
                o.client_order_id for o in self.book.open_orders_of(command.account_id)
            ]
            old = None
        if old is not None:
            self.close(old)
            set_free = old.lock.locked_minor if old.side is terms.side else 0
        missing, refused = terms.reserved_minor - command.reserved_minor, None
        if not self.order_is_valid(terms, command) or not 0 <= command.reserved_minor <= terms.reserved_minor:
            refused = RejectReason.INVALID_ORDER
        elif name_taken:
            refused = RejectReason.DUPLICATE_CLIENT_ORDER_ID
        elif missing > set_free:
            refused = RejectReason.INSUFFICIENT_LOCK
        carried = missing if refused is None else 0
        if old is not None:
            self.tell_canceled(old, carried)
        if refused is not None:
            self.events.append(self.refusal(terms, command, refused))
        else:
            self.enter_new(terms, command, carried)
