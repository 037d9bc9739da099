"""One symbol's market: its book, held stops, order lists and state, and what every command needs of them.

Market is what the modules around it share: `order_entry.py`, `list_entry.py` and `changes.py` do what
commands want, `trade_reports.py` tells the trades, `consequences.py` and `market_states.py` let happen
what follows and what time brings. Events come in the order that docs/matching.md gives. Sequence
numbers, hashes and records are `symbol_engine.py`'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from matcher import narration
from matcher.auction import Uncrossing
from matcher.order import HELD, PLAIN, Order
from matcher.order_book import OrderBook
from matcher.order_lists import OrderList
from matcher.price_guard import PriceGuard
from matcher.stops import Stops
from schemas.commands import EnterOrder, OrderTerms
from schemas.events import (
    BookEvent,
    LevelChange,
    MarketStateChanged,
    OrderExpired,
    OrderRefused,
    StateCause,
)
from schemas.instruments import Instrument
from schemas.orders import MarketState, Side
from schemas.reasons import ExpiryReason, RejectReason

_BUY = Side.BUY
_TRADING, _AUCTION = MarketState.TRADING, MarketState.AUCTION
NOTHING_TOLD = Uncrossing(None, 0, 0)


class Market:
    """All of a symbol's state that its events depend on, and the events of the command being handled."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.book = OrderBook()
        if instrument.volatility is not None:
            self.book.guard = PriceGuard(instrument.volatility)
        self.stops = Stops()
        self.lists: dict[int, OrderList] = {}
        self.state = _TRADING
        self.until_ns: int | None = None
        self.indicated = NOTHING_TOLD
        self.trade_id = 0
        self.prevented_match_id = 0
        self.last_price_ticks = 0
        self.now = 0
        self.sequence = 0
        self.events: list[BookEvent] = []
        self.touched: list[tuple[Side, int]] = []
        """The levels whose shown lots changed, in the order of touch."""
        self.row: deque[Order] = deque()
        """Stops found triggered that have not entered yet."""
        self.happened: deque[tuple[OrderList, Order, bool]] = deque()
        """What happened to lists: a leg, and whether it ended (else it traded or was triggered)."""
        self.filled: set[int] = set()
        """Working orders that ended filled."""

    def become(self, state: MarketState, until_ns: int | None, cause: StateCause) -> None:
        """Be in a state, and tell it. What a way back to trading leads to is `market_states.py`'s."""
        if state is _AUCTION and self.state is not _AUCTION:
            self.indicated = NOTHING_TOLD
        self.state, self.until_ns = state, until_ns
        self.events.append(MarketStateChanged(state=state, cause=cause, until_ns=until_ns))

    # -- orders that end --------------------------------------------------------------------

    def refuse(
        self, terms: EnterOrder | OrderTerms, account_id: int, reason: RejectReason, released_minor: int
    ) -> None:
        self.events.append(
            OrderRefused(
                order_id=terms.order_id,
                account_id=account_id,
                side=terms.side,
                reason=reason,
                released_minor=released_minor,
            )
        )

    def end(self, order: Order, reason: ExpiryReason) -> None:
        """Expire what is left of an order, wherever it is."""
        self.take_out(order)
        leaves, need = order.leaves_lots, self.need(order)
        self.events.append(
            OrderExpired(
                order_id=order.order_id,
                account_id=order.account_id,
                side=order.side,
                reason=reason,
                leaves_lots=leaves,
                released_minor=self.freed(order, need),
            )
        )

    def take_out(self, order: Order) -> None:
        """Let an order be open no more, and note it for its list."""
        if self.book.orders.get(order.order_id) is order:
            if order.place == PLAIN:
                self.touch(order.side, order.price_ticks)
            elif order.place == HELD:
                self.stops.remove(order)
            self.book.take_out(order)
        order.ended = True
        self.note_end(order)

    def note_end(self, order: Order, filled: bool = False) -> None:
        if order.conditions is None or order.conditions.list_id is None:
            return
        found = self.list_of(order)
        if found is not None:
            if filled:
                self.filled.add(order.order_id)
            self.happened.append((found, order, True))

    # -- what is locked ---------------------------------------------------------------------

    def need(self, order: Order) -> int:
        return narration.need_minor(order, self.instrument)

    def list_of(self, order: Order) -> OrderList | None:
        return None if order.list_id is None else self.lists.get(order.list_id)

    def freed(self, order: Order, alone_minor: int) -> int:
        """Return what becomes free when an order needs `alone_minor` less, or has ended.

        Call it after the change. An OCO pair shares a lock; the first pending leg of an OPO that ends
        frees what the working order received.
        """
        found = self.list_of(order)
        if found is None or order is found.working:
            return alone_minor
        if found.paid and not found.due:
            received, found.received_minor = found.received_minor, 0
            return received
        if not found.pair:
            return alone_minor
        left = max((self.need(leg) for leg in found.pair if not leg.ended), default=0)
        released = max(0, found.shared_minor - left)
        found.shared_minor -= released
        return released

    # -- levels and prices touched -----------------------------------------------------------

    def touch(self, side: Side, price_ticks: int) -> None:
        self.touched.append((side, price_ticks))

    def level_changes(self) -> tuple[LevelChange, ...]:
        """Return the new totals of the levels that were touched, in the order of first touch."""
        touched: Iterable[tuple[Side, int]] = self.touched
        if len(self.touched) > 1:
            touched = dict.fromkeys(touched)
        changes = []
        for side, price_ticks in touched:
            levels = (self.book.bids if side is _BUY else self.book.asks).levels
            lots = levels[price_ticks].lots if price_ticks in levels else 0
            changes.append(LevelChange(side=side, price_ticks=price_ticks, quantity_lots=lots))
        return tuple(changes)

    def see(self, prices: Iterable[int]) -> None:
        """Hold trades against the held stops; those they trigger join the row."""
        if self.stops.held:
            self.row.extend(self.stops.see(prices))
