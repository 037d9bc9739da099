"""What follows from what happened: order lists first, then triggered stops."""

from __future__ import annotations

from schemas.events import OrderActivated, OrderListEnded, OrderTriggered
from schemas.orders import OrderType
from schemas.reasons import ExpiryReason, RejectReason
from tests.simulation.matcher.naive.open_order import STOPS, OpenOrder, Where
from tests.simulation.matcher.naive.opening import Opening
from tests.simulation.matcher.naive.order_list import PAID_BY_WORKING, OpenList
from tests.simulation.matcher.naive.symbol import AUCTION, TRADING


class Following(Opening):
    def follow(self) -> None:
        while True:
            if self.happened:
                what, order = self.happened.pop(0)
                if order.order_list is not None:
                    self.follow_list(what, order, order.order_list)
            elif self.triggered and self.state is TRADING:
                self.trigger(self.triggered.pop(0))
            else:
                self.triggered = []
                return

    def trigger(self, stop: OpenOrder) -> None:
        self.events.append(OrderTriggered(order_id=stop.order_id, account_id=stop.account_id, side=stop.side))
        self.happened.append(("triggered", stop))
        stop.where = Where.ARRIVING
        stop.of_command = False
        self.arrive(stop)

    def close(self, order: OpenOrder, how: Where = Where.ENDED) -> None:
        super().close(order, how)
        self.triggered = [stop for stop in self.triggered if stop is not order]

    # -- order lists --------------------------------------------------------------------------

    def follow_list(self, what: str, leg: OpenOrder, of: OpenList) -> None:
        if what != "ended":
            sibling = of.sibling(leg)
            if sibling is not None:
                self.expire(sibling, ExpiryReason.OCO_TRIGGER)
            return
        if leg is of.working and of.pending:
            if leg.where is Where.FILLED:
                self.activate(of)
            else:
                self.expire_each(of.pending, ExpiryReason.OTO_PHASE_ONE)
        if not of.open_legs() and of in self.lists:
            self.lists.remove(of)
            self.events.append(OrderListEnded(list_id=of.list_id, account_id=of.account_id))

    def expire_each(self, legs: list[OpenOrder], reason: ExpiryReason) -> None:
        for leg in legs:
            self.expire(leg, reason)

    def activate(self, of: OpenList) -> None:
        """Make orders of the pending legs; both of a pair, or none."""
        legs = of.pending
        if self.state is not TRADING:
            return self.expire_each(legs, ExpiryReason.MARKET_CLOSED)
        if of.kind in PAID_BY_WORKING:
            assert of.receipts is not None
            lots = of.receipts.locked_minor // self.instrument.lot_minor
            if lots == 0:
                return self.expire_each(legs, ExpiryReason.OPO_TOO_SMALL)
            for leg in legs:
                leg.quantity_lots = lots
        refused = self.entry_refusal(legs[0]) if len(legs) == 1 else self.pair_refusal(*legs)
        for leg in legs:
            self.events.append(
                OrderActivated(
                    order_id=leg.order_id,
                    account_id=leg.account_id,
                    side=leg.side,
                    quantity_lots=leg.quantity_lots or 0,
                    released_minor=leg.lock.release(),
                )
            )
            leg.where = Where.ARRIVING
            if refused is not None:
                self.refuse(leg, refused)
            else:
                self.enter(leg)
        return None

    # -- entering -----------------------------------------------------------------------------

    def enter(self, order: OpenOrder) -> None:
        if order.order_type in STOPS:
            self.hold(order)
        else:
            self.arrive(order)

    def entry_refusal(self, order: OpenOrder) -> RejectReason | None:
        """Return the first entry check that fails, but for terms, state and band."""
        if order.order_type in STOPS and not order.on_the_right_side(self.last_price_ticks):
            return RejectReason.WOULD_TRIGGER
        if self.would_take(order):
            return RejectReason.WOULD_TAKE
        return None

    def pair_refusal(self, above: OpenOrder, below: OpenOrder) -> RejectReason | None:
        if not self.prices_enclose_last(above, below):
            return RejectReason.BAD_LIST_PRICES
        return RejectReason.WOULD_TAKE if self.would_take(above) or self.would_take(below) else None

    def prices_enclose_last(self, above: OpenOrder, below: OpenOrder) -> bool:
        """A trailing leg without a stop price has no say."""
        high, low = (o.stop_price_ticks if o.order_type in STOPS else o.price_ticks for o in (above, below))
        last = self.last_price_ticks
        if last is None:
            return high is None or low is None or high > low
        return (high is None or high > last) and (low is None or low < last)

    def would_take(self, order: OpenOrder) -> bool:
        if order.order_type is not OrderType.LIMIT_MAKER or self.state is AUCTION:
            return False
        return bool(self.book.offers_for(order))
