"""The order book of one symbol: price-time priority, integers, no clock, no I/O.

It knows ticks and lots only. What an order type means is `matching.py`'s, what a trade costs and how it
is told is `trade_reports.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from matcher.matching import RESTED, Ending, Met, enter, enter_plain
from matcher.order import HELD, PENDING, PLAIN, Order, age
from matcher.price_guard import PriceGuard
from matcher.price_level import MOST_DEAD, Ladder, PriceLevel
from schemas.orders import OrderType, Side, TimeInForce

_BUY, _LIMIT, _GTC, _IOC = Side.BUY, OrderType.LIMIT, TimeInForce.GTC, TimeInForce.IOC
_SLACK = 1024


class Move(msgspec.Struct, frozen=True, gc=False):
    """Another price or quantity (the new whole one) for a resting order, which loses its place."""

    order_id: int
    price_ticks: int
    quantity_lots: int
    sequence: int = 0
    """The order's new age."""


Entry = tuple[int, int, str, Side, TimeInForce, int, int]
"""A plain LIMIT order: order id, account, client order id, side, time in force, price in ticks, lots."""
Outcome = tuple[Sequence[Met], Ending] | Order | None
"""Of an order that enters or moves what it met and how that ended; of a cancel the order taken out; None:
there is no such order."""
_JUST_RESTED: Outcome = ((), RESTED)
_NOTHING_MET: Outcome = ((), Ending.UNFILLED_IOC)


class OrderBook:
    """Open orders by price, by id and by account. `orders` holds those too that are open without being in
    the book: stops that wait for their trigger, legs that wait for their list."""

    __slots__ = ("_accounts", "_filed", "_most_unfiled", "_unfiled", "asks", "bids", "guard", "orders")

    def __init__(self) -> None:
        self.bids = Ladder(-1)
        self.asks = Ladder(1)
        self.orders: dict[int, Order] = {}
        self.guard: PriceGuard | None = None
        """At which prices trades may happen; None: at all."""
        self._accounts: dict[int, list[Order]] = {}
        self._unfiled: list[Order] = []
        """Orders that came to be open and do not stand in `_accounts`, which is only brought up to date when
        somebody asks."""
        self._most_unfiled = _SLACK
        self._filed = 0

    def apply(self, batch: Sequence[Entry | int | Move | Order]) -> list[Outcome]:  # noqa: PLR0912
        """Enter each Entry and Order, cancel each order id, make each Move; return what came of each.

        What `rest` and `cancel` do to plain orders is done here without their calls: most commands are
        such.
        """
        bids, asks, orders, unfiled = self.bids, self.asks, self.orders, self._unfiled
        done: list[Outcome] = []
        for given in batch:
            if isinstance(given, tuple):
                order_id, account_id, client_order_id, side, time_in_force, price, lots = given
                if side is _BUY:
                    own, other, limit = bids, asks, price
                else:
                    own, other, limit = asks, bids, -price
                entering = Order(
                    order_id, account_id, client_order_id, side, _LIMIT, time_in_force, price, lots, lots
                )
                if other.best_key <= limit:
                    if self.guard is None:
                        done.append(enter_plain(self, entering, other, limit))
                    else:
                        done.append(enter(self, entering))
                elif time_in_force is _GTC:
                    levels = own.levels
                    level = levels[price] if price in levels else own.open(price)
                    if not level.lots:
                        own.open(price)
                    level.queue.append(entering)
                    level.lots += lots
                    orders[order_id] = entering
                    unfiled.append(entering)
                    done.append(_JUST_RESTED)
                else:
                    done.append(_NOTHING_MET if time_in_force is _IOC else enter(self, entering))
            elif isinstance(given, int):
                order = orders.pop(given, None)
                if order is not None:
                    order.ended = True
                    if order.conditions is None:
                        own = bids if order.side is _BUY else asks
                        level = own.levels[order.price_ticks]
                        level.lots -= order.leaves_lots
                        if not level.lots:
                            own.emptied(level)
                        else:
                            level.dead += 1
                            if level.dead > MOST_DEAD:
                                level.sweep()
                    elif order.conditions.place == PLAIN:
                        self.ladder(order.side).remove(order)
                done.append(order)
            elif isinstance(given, Order):
                done.append(enter(self, given))
            else:
                done.append(self.move(given))
        if len(unfiled) > self._most_unfiled:
            self._file()
        return done

    def move(self, given: Move) -> Outcome:
        order = self.orders.get(given.order_id)
        if order is None or (order.conditions is not None and order.conditions.place != PLAIN):
            return None
        self.cancel(given.order_id)
        leaves = order.leaves_lots + given.quantity_lots - order.quantity_lots
        return enter(self, order.moved(given.price_ticks, given.quantity_lots, leaves, given.sequence))

    def ladder(self, side: Side) -> Ladder:
        return self.bids if side is _BUY else self.asks

    def opposite(self, side: Side) -> Ladder:
        return self.asks if side is _BUY else self.bids

    def crossed(self) -> bool:
        return self.asks.best_key <= -self.bids.best_key

    def would_take(self, side: Side, price_ticks: int) -> bool:
        ladder = self.opposite(side)
        return ladder.best_key <= price_ticks * ladder.sign

    def enter(self, order: Order) -> tuple[list[Met], Ending]:
        """Match an order; rest, expire or refuse what is left."""
        return enter(self, order)

    def rest(self, order: Order) -> None:
        """Let the order wait at its price, last in time. Its id must not be open."""
        special = order.conditions
        ladder = self.bids if order.side is _BUY else self.asks
        if special is None:
            level = ladder.open(order.price_ticks)
            level.queue.append(order)
            level.lots += order.leaves_lots
        else:
            special.place = PLAIN
            if special.display_lots is not None:
                special.hidden_lots = order.leaves_lots - min(special.display_lots, order.leaves_lots)
            ladder.add(order)
        self.orders[order.order_id] = order
        self._unfiled.append(order)
        if len(self._unfiled) > self._most_unfiled:
            self._file()

    def put(self, order: Order) -> None:
        """Let an order come back as it was, last at its price if it rested."""
        if order.place == PLAIN:
            self.ladder(order.side).add(order)
        self._remember(order)

    def hold(self, order: Order) -> None:
        """Let the order wait for its trigger, outside the queues."""
        order.special().place = HELD
        self._remember(order)

    def wait(self, order: Order) -> None:
        """Let the order wait for its list, outside the queues."""
        order.special().place = PENDING
        self._remember(order)

    def release(self, order: Order) -> None:
        """Let an order that was held or waited enter: it is open, but nowhere until it rests."""
        del self.orders[order.order_id]

    def cancel(self, order_id: int) -> Order | None:
        """Take an order out, wherever it waits, and return it; None when it is not there."""
        order = self.orders.pop(order_id, None)
        if order is not None:
            if order.conditions is None or order.conditions.place == PLAIN:
                (self.bids if order.side is _BUY else self.asks).remove(order)
            order.ended = True
        return order

    def take_out(self, order: Order) -> None:
        """Take out an open order."""
        self.cancel(order.order_id)

    def open_orders_of(self, account_id: int) -> list[Order]:
        """Return the account's open orders, oldest first."""
        if self._unfiled:
            self._file()
        mine = {o.order_id: o for o in self._accounts.get(account_id, []) if self.orders.get(o.order_id) is o}
        if mine:
            self._accounts[account_id] = list(mine.values())
        else:
            self._accounts.pop(account_id, None)
        return sorted(mine.values(), key=age)

    def take_from(self, ladder: Ladder, level: PriceLevel, maker: Order, lots: int) -> None:
        """Take `lots`, at most what it shows, from the order at the front of the level's queue."""
        level.lots -= lots
        maker.leaves_lots -= lots
        maker.executed_notional += level.price_ticks * lots
        if not maker.leaves_lots:
            maker.ended = True
            del self.orders[maker.order_id]
            if level.lots:
                level.pass_front()
            else:
                ladder.emptied(level)
        elif maker.conditions is not None and maker.leaves_lots == maker.conditions.hidden_lots:
            level.show_next(maker)

    def _remember(self, order: Order) -> None:
        self.orders[order.order_id] = order
        self._unfiled.append(order)
        if len(self._unfiled) > self._most_unfiled:
            self._file()

    def _file(self) -> None:
        """File new orders by account; file all anew when most of what is filed may have ended."""
        accounts, orders = self._accounts, self.orders
        self._filed += len(self._unfiled)
        if self._filed > 2 * len(orders) + _SLACK:
            accounts.clear()
            self._unfiled[:] = orders.values()
            self._filed = len(orders)
        for order in self._unfiled:
            if orders.get(order.order_id) is order:
                accounts.setdefault(order.account_id, []).append(order)
        self._unfiled.clear()
        self._most_unfiled = len(orders) + _SLACK
