"""Amends and moves of an open order."""

from __future__ import annotations

from schemas import commands as c
from schemas import events as e
from schemas.money import MAX_AMOUNT
from schemas.reasons import RejectReason
from tests.simulation.matcher.naive import terms as valid
from tests.simulation.matcher.naive.canceling import Canceling
from tests.simulation.matcher.naive.open_order import OpenOrder, Where
from tests.simulation.matcher.naive.symbol import AUCTION, TRADING


class Changing(Canceling):
    # -- amend and move -----------------------------------------------------------------------

    def amend_order(self, command: c.AmendRestingOrder) -> None:
        order = self.book.find(command.order_id, command.account_id)
        refused = self.change_refusal(order)
        if order is None or refused is not None:
            return self.refuse_change(command, order, refused)
        lots = command.quantity_lots
        if not self.quantity_is_valid(order, order.price_ticks, lots):
            refused = RejectReason.INVALID_ORDER
        elif lots > self.quantity_of(order):
            refused = RejectReason.QUANTITY_INCREASE
        elif lots == order.quantity_lots:
            refused = RejectReason.NO_CHANGE
        elif lots <= order.executed_lots + order.prevented_lots:
            refused = RejectReason.QUANTITY_EXECUTED
        if refused is not None:
            return self.refuse_change(command, order, refused)
        return self.amend(order, lots, command.client_order_id)

    def move_order(self, command: c.MoveRestingOrder) -> None:
        order = self.book.find(command.order_id, command.account_id)
        refused = self.change_refusal(order)
        if order is None or refused is not None:
            return self.refuse_change(command, order, refused, command.reserved_minor)
        price = order.price_ticks if command.price_ticks is None else command.price_ticks
        lots = self.quantity_of(order) if command.quantity_lots is None else command.quantity_lots
        refused = self.move_refusal(order, price, lots, command.reserved_minor)
        if refused is not None:
            return self.refuse_change(command, order, refused, command.reserved_minor)
        order.lock.locked_minor += command.reserved_minor
        if price == order.price_ticks and lots < self.quantity_of(order):
            return self.amend(order, lots, order.client_order_id)
        return self.move(order, price, lots)

    @staticmethod
    def quantity_of(order: OpenOrder) -> int:
        assert order.quantity_lots is not None
        return order.quantity_lots

    def change_refusal(self, order: OpenOrder | None) -> RejectReason | None:
        if order is None:
            return RejectReason.UNKNOWN_ORDER
        if order.order_list is not None:
            return RejectReason.ORDER_IN_LIST
        return None if self.state in (TRADING, AUCTION) else RejectReason.MARKET_CLOSED

    def quantity_is_valid(self, order: OpenOrder, price_ticks: int, lots: int) -> bool:
        i = self.instrument
        return (
            valid.fits(price_ticks)
            and valid.fits(lots * i.lot_minor)
            and valid.fits(price_ticks * lots * i.tick_lot_minor)
        )

    def move_refusal(
        self, order: OpenOrder, price_ticks: int, lots: int, reserved_minor: int
    ) -> RejectReason | None:
        held = order.where is not Where.RESTING
        if (
            held
            or not self.quantity_is_valid(order, price_ticks, lots)
            or not 0 <= reserved_minor <= MAX_AMOUNT
        ):
            return RejectReason.INVALID_ORDER
        if (price_ticks, lots) == (order.price_ticks, order.quantity_lots):
            return RejectReason.NO_CHANGE
        if lots <= order.executed_lots + order.prevented_lots:
            return RejectReason.QUANTITY_EXECUTED
        if price_ticks == order.price_ticks and lots < self.quantity_of(order):
            return None
        if not self.in_price_band(order.side, price_ticks):
            return RejectReason.PRICE_BAND
        return self.moved_refusal(order, price_ticks, lots, reserved_minor)

    def moved_refusal(
        self, order: OpenOrder, price_ticks: int, lots: int, reserved_minor: int
    ) -> RejectReason | None:
        """Look at the order as it would be, then put it back."""
        before = order.price_ticks, order.quantity_lots
        order.price_ticks, order.quantity_lots = price_ticks, lots
        pays = order.lock.locked_minor + reserved_minor >= order.need_minor()
        takes = self.would_take(order)
        order.price_ticks, order.quantity_lots = before
        if not pays:
            return RejectReason.INSUFFICIENT_LOCK
        return RejectReason.WOULD_TAKE if takes else None

    def refuse_change(
        self,
        command: c.AmendRestingOrder | c.MoveRestingOrder,
        order: OpenOrder | None,
        reason: RejectReason | None,
        reserved_minor: int = 0,
    ) -> None:
        assert reason is not None
        self.events.append(
            e.ChangeRefused(
                order_id=command.order_id,
                account_id=command.account_id,
                reason=reason,
                released_minor=reserved_minor,
                side=None if order is None else order.side,
            )
        )

    def amend(self, order: OpenOrder, lots: int, client_order_id: str) -> None:
        previous, order.client_order_id = order.client_order_id, client_order_id
        order.quantity_lots = lots
        self.book.shrink(order)
        self.events.append(
            e.OrderAmended(
                order_id=order.order_id,
                account_id=order.account_id,
                side=order.side,
                client_order_id=client_order_id,
                previous_client_order_id=previous,
                quantity_lots=lots,
                leaves_lots=order.leaves_lots,
                released_minor=order.lock.release(),
            )
        )

    def move(self, order: OpenOrder, price_ticks: int, lots: int) -> None:
        self.book.lift(order)
        order.price_ticks, order.quantity_lots = price_ticks, lots
        order.sequence = self.sequence
        self.events.append(
            e.OrderMoved(
                order_id=order.order_id,
                account_id=order.account_id,
                side=order.side,
                client_order_id=order.client_order_id,
                price_ticks=price_ticks,
                quantity_lots=lots,
                leaves_lots=order.leaves_lots,
                released_minor=order.lock.release(),
            )
        )
        order.of_command = True
        self.arrive(order)
        self.follow()
        order.of_command = False
