"""One symbol: its open orders and how they end, its stops, its state, the events of the present command."""

from __future__ import annotations

from schemas.events import (
    BookEvent,
    MarketStateChanged,
    OrderExpired,
    OrderFilled,
    OrderHeld,
    OrderRefused,
    OrderRested,
    StateCause,
)
from schemas.instruments import Instrument
from schemas.money import PPM
from schemas.orders import MarketState
from schemas.reasons import ExpiryReason, RejectReason
from tests.simulation.matcher.naive.book import NaiveBook
from tests.simulation.matcher.naive.open_order import OpenOrder, Where

AUCTION, HALT, TRADING = MarketState.AUCTION, MarketState.HALT, MarketState.TRADING


class NaiveSymbol:
    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.book = NaiveBook()
        self.events: list[BookEvent] = []
        self.now = 0
        self.trade_id = 0
        self.prevented_match_id = 0
        self.last_price_ticks: int | None = None
        self.state = MarketState.TRADING
        self.until_ns: int | None = None
        self.reference_ticks: int | None = None
        self.reference_ns = 0
        self.trade_prices: list[int] = []
        """Of trades that no stop has looked at yet."""
        self.happened: list[tuple[str, OpenOrder]] = []
        """What lists have to look at: ("traded" | "triggered" | "ended", leg)."""
        self.triggered: list[OpenOrder] = []
        """Stops that were found triggered, in the order in which they will enter."""

    # -- how orders rest and end --------------------------------------------------------------

    def rest(self, order: OpenOrder) -> None:
        self.book.rest(order)
        self.events.append(
            OrderRested(
                order_id=order.order_id,
                account_id=order.account_id,
                side=order.side,
                price_ticks=order.price_ticks,
                leaves_lots=order.leaves_lots,
            )
        )

    def hold(self, order: OpenOrder) -> None:
        """Keep a stop until it is triggered; one that trails at once starts at the last price."""
        order.where = Where.WAITS_FOR_TRIGGER
        if order.trailing_delta_bips is not None and order.stop_price_ticks is None:
            order.extreme_ticks = self.last_price_ticks
        self.events.append(
            OrderHeld(
                order_id=order.order_id, account_id=order.account_id, side=order.side, until="triggered"
            )
        )

    def close(self, order: OpenOrder, how: Where = Where.ENDED) -> None:
        self.book.close(order, how)
        self.happened.append(("ended", order))

    def fill(self, order: OpenOrder) -> None:
        self.close(order, Where.FILLED)
        self.events.append(
            OrderFilled(
                order_id=order.order_id,
                account_id=order.account_id,
                side=order.side,
                released_minor=order.lock.release(),
            )
        )

    def expire(self, order: OpenOrder, reason: ExpiryReason) -> None:
        self.close(order)
        self.events.append(
            OrderExpired(
                order_id=order.order_id,
                account_id=order.account_id,
                side=order.side,
                reason=reason,
                leaves_lots=order.leaves_lots,
                released_minor=order.lock.release(),
            )
        )

    def refuse(self, order: OpenOrder, reason: RejectReason) -> None:
        self.close(order)
        self.events.append(
            OrderRefused(
                order_id=order.order_id,
                account_id=order.account_id,
                side=order.side,
                reason=reason,
                released_minor=order.lock.release(),
            )
        )

    # -- stops look at trades -----------------------------------------------------------------

    def look_at_trades(self) -> None:
        prices, self.trade_prices = self.trade_prices, []
        self.look_at(prices)

    def look_at(self, prices: list[int]) -> None:
        """Hold each price against each held stop; those triggered join the end of the row, oldest first."""
        found: list[OpenOrder] = []
        for price in prices:
            for order in self.book.orders:
                waits = order.where is Where.WAITS_FOR_TRIGGER and order not in found + self.triggered
                if waits and order.is_triggered_by(price):
                    found.append(order)
        self.triggered += sorted(found, key=lambda o: o.age)

    # -- the market's state -------------------------------------------------------------------

    def change_state(self, state: MarketState, cause: StateCause, until_ns: int | None) -> None:
        self.state, self.until_ns = state, until_ns
        self.events.append(MarketStateChanged(state=state, cause=cause, until_ns=until_ns))

    def halt(self) -> None:
        volatility = self.instrument.volatility
        assert volatility is not None
        self.change_state(HALT, "volatility", self.now + volatility.halt_ns)

    def inside_volatility_band(self, price_ticks: int) -> bool:
        volatility, reference = self.instrument.volatility, self.reference_ticks
        if volatility is None or reference is None:
            return True
        low, high = reference * (PPM - volatility.band_ppm), reference * (PPM + volatility.band_ppm)
        return low <= price_ticks * PPM <= high

    def set_reference(self, price_ticks: int) -> None:
        self.reference_ticks, self.reference_ns = price_ticks, self.now

    def renew_reference(self) -> None:
        volatility, last = self.instrument.volatility, self.last_price_ticks
        if (
            volatility is not None
            and last is not None
            and self.now >= self.reference_ns + volatility.window_ns
        ):
            self.set_reference(last)

    def note_trade(self, price_ticks: int) -> None:
        self.last_price_ticks = price_ticks
        self.trade_prices.append(price_ticks)
        if self.reference_ticks is None:
            self.set_reference(price_ticks)
