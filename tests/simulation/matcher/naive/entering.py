"""How an order or an order list enters: terms, entry checks, locks."""

from __future__ import annotations

from schemas import commands as c
from schemas import events as e
from schemas.instruments import Instrument
from schemas.money import PPM
from schemas.orders import OrderListKind, OrderType, Side, TimeInForce
from schemas.reasons import RejectReason
from tests.simulation.matcher.naive import terms as valid
from tests.simulation.matcher.naive.following import Following
from tests.simulation.matcher.naive.open_order import MARKETS, STOPS, Lock, OpenOrder, Where
from tests.simulation.matcher.naive.order_list import PAID_BY_WORKING, OpenList
from tests.simulation.matcher.naive.symbol import AUCTION, TRADING

EntersOrder = c.EnterOrder | c.ReplaceRestingOrder | c.EnterOrderList


class Entering(Following):
    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument)
        self.sequence = 0
        self.lists: list[OpenList] = []

    def enter_order(self, command: c.EnterOrder) -> None:
        if not self.order_is_valid(command, command):
            self.events.append(self.refusal(command, command, RejectReason.INVALID_ORDER))
            return
        self.enter_new(command, command)

    # -- entering -----------------------------------------------------------------------------

    def order_is_valid(self, terms: valid.Terms, of: EntersOrder) -> bool:
        open_ids = [o.order_id for o in self.book.orders]
        fees = valid.fees_fit(of.maker_fee_ppm, of.taker_fee_ppm)
        return fees and valid.order_fits(terms, self.instrument, open_ids)

    def refusal(self, terms: valid.Terms, of: EntersOrder, reason: RejectReason) -> e.OrderRefused:
        """Return what is told of an order that did not even enter."""
        return e.OrderRefused(
            order_id=terms.order_id,
            account_id=of.account_id,
            side=terms.side,
            reason=reason,
            released_minor=of.reserved_minor,
        )

    def new_order(self, terms: valid.Terms, of: EntersOrder, lock: Lock) -> OpenOrder:
        order = OpenOrder(
            instrument=self.instrument,
            order_id=terms.order_id,
            account_id=of.account_id,
            client_order_id=terms.client_order_id,
            side=terms.side,
            order_type=terms.order_type,
            time_in_force=terms.time_in_force,
            price_ticks=terms.price_ticks,
            quantity_lots=terms.quantity_lots,
            quote_budget_minor=terms.quote_budget_minor,
            stop_price_ticks=terms.stop_price_ticks,
            trailing_delta_bips=terms.trailing_delta_bips,
            display_lots=terms.display_lots,
            mode=terms.self_trade_prevention or self.instrument.self_trade_prevention,
            maker_fee_ppm=of.maker_fee_ppm,
            taker_fee_ppm=of.taker_fee_ppm,
            sequence=self.sequence,
            entered_at_ns=self.now,
            lock=lock,
            of_command=not isinstance(of, c.EnterOrderList),
            quote_left_minor=terms.quote_budget_minor or 0,
        )
        lock.orders.append(order)
        return order

    def tell_entered(self, order: OpenOrder) -> None:
        self.book.orders.append(order)
        self.events.append(
            e.OrderEntered(
                order_id=order.order_id,
                account_id=order.account_id,
                client_order_id=order.client_order_id,
                side=order.side,
                order_type=order.order_type,
                time_in_force=order.time_in_force,
                price_ticks=order.price_ticks,
                quantity_lots=order.quantity_lots,
                quote_budget_minor=order.quote_budget_minor,
                stop_price_ticks=order.stop_price_ticks,
                trailing_delta_bips=order.trailing_delta_bips,
                display_lots=order.display_lots,
                self_trade_prevention=order.mode,
                list_id=order.order_list.list_id if order.order_list else None,
            )
        )

    def enter_new(self, terms: valid.Terms, of: EntersOrder, carried_minor: int = 0) -> None:
        order = self.new_order(terms, of, Lock(of.reserved_minor + carried_minor))
        self.tell_entered(order)
        refused = self.state_refusal(order) or self.band_refusal(order) or self.entry_refusal(order)
        if refused is None:
            self.enter(order)
        else:
            self.refuse(order, refused)
        self.follow()
        order.of_command = False

    def state_refusal(self, order: OpenOrder) -> RejectReason | None:
        if self.state is TRADING:
            return None
        if self.state is not AUCTION:
            return RejectReason.MARKET_CLOSED
        good_till_canceled = order.order_type is OrderType.LIMIT and order.time_in_force is TimeInForce.GTC
        return None if good_till_canceled or order.order_type in STOPS else RejectReason.NOT_IN_AUCTION

    def band_refusal(self, order: OpenOrder) -> RejectReason | None:
        if order.order_type in MARKETS or self.in_price_band(order.side, order.price_ticks):
            return None
        return RejectReason.PRICE_BAND

    def in_price_band(self, side: Side, price_ticks: int) -> bool:
        if self.last_price_ticks is None:
            return True
        band, last = self.instrument.price_band, self.last_price_ticks
        if side is Side.BUY:
            return last * band.bid_down_ppm <= price_ticks * PPM <= last * band.bid_up_ppm
        return last * band.ask_down_ppm <= price_ticks * PPM <= last * band.ask_up_ppm

    # -- order lists --------------------------------------------------------------------------

    def enter_order_list(self, command: c.EnterOrderList) -> None:
        open_ids, open_lists = [o.order_id for o in self.book.orders], [of.list_id for of in self.lists]
        if not valid.list_fits(command, self.instrument, open_ids, open_lists):
            return self.refuse_list(command, RejectReason.INVALID_ORDER)
        of = self.new_list(command)
        refused = self.list_refusal(of)
        if refused is not None:
            return self.refuse_list(command, refused)
        self.lists.append(of)
        self.events.append(
            e.OrderListEntered(
                list_id=of.list_id,
                account_id=of.account_id,
                kind=of.kind,
                client_order_id=command.client_order_id,
                order_ids=tuple(leg.order_id for leg in of.legs),
            )
        )
        for leg in of.legs:
            leg.order_list = of
            self.tell_entered(leg)
        waiting = of.legs[1:] if of.working is not None else []
        for leg in waiting:
            leg.where = Where.WAITS_FOR_LIST
            self.events.append(
                e.OrderHeld(
                    order_id=leg.order_id,
                    account_id=leg.account_id,
                    side=leg.side,
                    until="working_order_filled",
                )
            )
        for leg in of.legs:
            if leg not in waiting:
                self.enter(leg)
        return None

    def new_list(self, command: c.EnterOrderList) -> OpenList:
        first, *others = command.legs
        receipts = None
        if command.kind is OrderListKind.OCO:
            locks = [Lock(command.reserved_minor)] * 2
        elif command.kind in PAID_BY_WORKING:
            receipts = Lock(0)
            locks = [Lock(first.reserved_minor), *[receipts] * len(others)]
        else:
            shared = Lock(max(leg.reserved_minor for leg in others))
            locks = [Lock(first.reserved_minor), *[shared] * len(others)]
        legs = [self.new_order(leg, command, lock) for leg, lock in zip(command.legs, locks, strict=True)]
        return OpenList(command.list_id, command.account_id, command.kind, legs, receipts)

    def refuse_list(self, command: c.EnterOrderList, reason: RejectReason) -> None:
        self.events.append(
            e.OrderListRefused(
                list_id=command.list_id,
                account_id=command.account_id,
                side=command.legs[0].side if command.legs else Side.BUY,
                reason=reason,
                released_minor=command.reserved_minor,
            )
        )

    def list_refusal(self, of: OpenList) -> RejectReason | None:
        if self.state is AUCTION:
            return RejectReason.NOT_IN_AUCTION
        if self.state is not TRADING:
            return RejectReason.MARKET_CLOSED
        if any(self.band_refusal(leg) for leg in of.legs):
            return RejectReason.PRICE_BAND
        if of.working is None:
            return self.pair_refusal(*of.legs)
        return RejectReason.WOULD_TAKE if self.would_take(of.working) else None
