"""Trades, one at a time: how an order takes, what is prevented, what halts."""

from __future__ import annotations

import copy

from schemas.events import MatchPrevented, OrdersTraded
from schemas.money import PPM
from schemas.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from schemas.reasons import ExpiryReason
from tests.simulation.matcher.naive.open_order import MARKETS, Lock, OpenOrder, Where
from tests.simulation.matcher.naive.symbol import AUCTION, NaiveSymbol

ENDS_TAKER = {SelfTradePrevention.EXPIRE_TAKER, SelfTradePrevention.EXPIRE_BOTH}
ENDS_MAKER = {SelfTradePrevention.EXPIRE_MAKER, SelfTradePrevention.EXPIRE_BOTH}
LEFT_OVER = "left over"
FILLED = "filled"


class Trading(NaiveSymbol):
    # -- an order arrives ---------------------------------------------------------------------

    def arrive(self, order: OpenOrder) -> None:
        """Let an order take what it may, then rest or end; then let stops look at the trades."""
        if self.state is AUCTION:
            return self.rest(order)
        fill_or_kill = order.time_in_force is TimeInForce.FOK and order.order_type not in MARKETS
        if fill_or_kill and order.order_type is not OrderType.LIMIT_MAKER and not self.would_fill(order):
            return self.expire(order, ExpiryReason.UNFILLED_FOK_ORDER)
        how = self.take(order)
        self.after_taking(order, how)
        self.look_at_trades()
        return None

    def after_taking(self, order: OpenOrder, how: str) -> None:
        if how == FILLED:
            self.fill(order)
        elif how != LEFT_OVER:
            self.expire(order, ExpiryReason(how))
            if how == ExpiryReason.PRICE_RANGE_EXCEEDED:
                self.halt()
        elif order.order_type in MARKETS:
            self.expire(order, ExpiryReason.INSUFFICIENT_LIQUIDITY)
        elif order.time_in_force is TimeInForce.IOC and order.order_type is not OrderType.LIMIT_MAKER:
            self.expire(order, ExpiryReason.UNFILLED_IOC_QUANTITY)
        else:
            self.rest(order)

    def would_fill(self, order: OpenOrder) -> bool:
        """Try it on a copy of the whole market."""
        trial, copied = copy.deepcopy((self, order))
        return trial.take(copied) == FILLED and copied.executed_lots == copied.quantity_lots

    def take(self, taker: OpenOrder) -> str:
        """Trade until nothing is left, nothing is offered or something forbids it; say which."""
        while True:
            if not taker.by_budget and taker.leaves_lots == 0:
                return FILLED
            if self.has_spent(taker):
                return FILLED
            offers = self.book.offers_for(taker)
            if not offers:
                return LEFT_OVER
            maker = offers[0]
            lots = min(self.lots_wanted(taker, maker.price_ticks), maker.leaves_lots)
            if lots == 0:
                return FILLED if taker.executed_lots else LEFT_OVER
            if taker.account_id == maker.account_id and taker.mode is not SelfTradePrevention.NONE:
                if self.prevent(taker, maker):
                    return ExpiryReason.SELF_TRADE_PREVENTED
            elif not self.inside_volatility_band(maker.price_ticks):
                return ExpiryReason.PRICE_RANGE_EXCEEDED
            else:
                self.trade(taker, maker, maker.price_ticks, min(lots, maker.shown_lots))

    def has_spent(self, taker: OpenOrder) -> bool:
        """Tell whether an order by quote has traded and has less left than the smallest price of a lot."""
        by_quote = taker.quote_budget_minor is not None
        return (
            by_quote and taker.executed_lots > 0 and taker.quote_left_minor < self.instrument.tick_lot_minor
        )

    def lots_wanted(self, taker: OpenOrder, price_ticks: int) -> int:
        if taker.quote_budget_minor is None:
            return taker.leaves_lots
        affordable = taker.quote_left_minor // (price_ticks * self.instrument.tick_lot_minor)
        return affordable if taker.quantity_lots is None else min(affordable, taker.leaves_lots)

    # -- a trade ------------------------------------------------------------------------------

    def trade(
        self, taker: OpenOrder, maker: OpenOrder, price_ticks: int, lots: int, *, auction: bool = False
    ) -> None:
        i = self.instrument
        buyer, seller = (taker, maker) if taker.side is Side.BUY else (maker, taker)
        base, quote = lots * i.lot_minor, price_ticks * lots * i.tick_lot_minor
        buyer_lock = quote if buyer.by_budget else buyer.price_ticks * lots * i.tick_lot_minor
        buyer.lock.use(buyer_lock)
        seller.lock.use(base)
        for order in (taker, maker):
            order.executed_lots += lots
            order.executed_quote_minor += quote
            order.quote_left_minor -= quote if order.quote_budget_minor is not None else 0
        taker_rate = taker.maker_fee_ppm if auction else taker.taker_fee_ppm
        taker_fee = fee(base if buyer is taker else quote, taker_rate)
        maker_fee = fee(base if buyer is maker else quote, maker.maker_fee_ppm)
        receipts = self.receipts_of(buyer)
        if receipts is not None:
            receipts.locked_minor += base - (taker_fee if buyer is taker else maker_fee)
        self.trade_id += 1
        named = auction or not taker.of_command
        self.events.append(
            OrdersTraded(
                trade_id=self.trade_id,
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
                maker_leaves_lots=maker.leaves_lots,
                buyer_lock_minor=buyer_lock,
                taker_client_order_id=taker.client_order_id if named else "",
                taker_leaves_lots=taker.leaves_lots if named else None,
                buyer_receipt_locked=receipts is not None,
            )
        )
        self.note_trade(price_ticks)
        for order in (maker, taker):
            self.happened.append(("traded", order))
            if order.where is Where.RESTING:
                self.book.fill(order, lots)
                if order.leaves_lots == 0:
                    self.fill(order)

    @staticmethod
    def receipts_of(buyer: OpenOrder) -> Lock | None:
        """Return the lock that an OPO's working order pays into."""
        of = buyer.order_list
        return of.receipts if of is not None and of.working is buyer else None

    # -- self-trade prevention ----------------------------------------------------------------

    def prevent(self, taker: OpenOrder, maker: OpenOrder) -> bool:
        """Apply the taker's mode; tell whether the taker ended."""
        taker_lots, maker_lots, taker_ends = self.lots_to_prevent(taker, maker)
        if taker.quote_budget_minor is not None and taker_lots:
            taker.quote_left_minor -= taker_lots * maker.price_ticks * self.instrument.tick_lot_minor
        taker.prevented_lots += taker_lots
        maker.prevented_lots += maker_lots
        self.book.shrink(maker)
        self.prevented_match_id += 1
        self.events.append(
            MatchPrevented(
                prevented_match_id=self.prevented_match_id,
                account_id=taker.account_id,
                mode=taker.mode,
                price_ticks=maker.price_ticks,
                taker_side=taker.side,
                taker_order_id=taker.order_id,
                taker_prevented_lots=taker_lots,
                taker_released_minor=taker.lock.release(),
                maker_order_id=maker.order_id,
                maker_prevented_lots=maker_lots,
                maker_released_minor=maker.lock.release(),
                maker_leaves_lots=maker.leaves_lots,
            )
        )
        if maker.leaves_lots == 0:
            self.expire(maker, ExpiryReason.SELF_TRADE_PREVENTED)
        return taker_ends

    def lots_to_prevent(self, taker: OpenOrder, maker: OpenOrder) -> tuple[int, int, bool]:
        if taker.mode is SelfTradePrevention.DECREMENT:
            wanted = self.lots_wanted(taker, maker.price_ticks)
            lots = min(wanted, maker.leaves_lots)
            return lots, lots, lots == wanted
        ends = taker.mode in ENDS_TAKER
        taker_lots = taker.leaves_lots if ends and taker.quote_budget_minor is None else 0
        return taker_lots, maker.leaves_lots if taker.mode in ENDS_MAKER else 0, ends


def fee(amount_minor: int, rate_ppm: int) -> int:
    """Round up: against the trader."""
    whole, rest = divmod(amount_minor * rate_ppm, PPM)
    return whole + (1 if rest else 0)
