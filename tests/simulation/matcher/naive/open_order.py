"""One open order, and the money that is locked for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from schemas.instruments import Instrument
from schemas.orders import OrderType, SelfTradePrevention, Side, TimeInForce

if TYPE_CHECKING:
    from tests.simulation.matcher.naive.order_list import OpenList

BIPS = 10_000
MARKETS = {OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT}
STOP_LOSSES = {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT}
TAKE_PROFITS = {OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}
STOPS = STOP_LOSSES | TAKE_PROFITS


class Where(Enum):
    ARRIVING = auto()
    RESTING = auto()
    WAITS_FOR_TRIGGER = auto()
    WAITS_FOR_LIST = auto()
    FILLED = auto()
    ENDED = auto()


@dataclass(eq=False)
class Lock:
    """Money set aside for one order, or for two legs of which only one can need it."""

    locked_minor: int
    orders: list[OpenOrder] = field(default_factory=list)

    def use(self, amount_minor: int) -> None:
        assert 0 <= amount_minor <= self.locked_minor
        self.locked_minor -= amount_minor

    def release(self) -> int:
        """Set free and return what the orders that are still open do not need."""
        needed = max((o.need_minor() for o in self.orders if o.is_open()), default=0)
        freed = max(0, self.locked_minor - needed)
        self.locked_minor -= freed
        return freed


@dataclass(eq=False)
class OpenOrder:
    instrument: Instrument
    order_id: int
    account_id: int
    client_order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int | None
    quote_budget_minor: int | None
    stop_price_ticks: int | None
    trailing_delta_bips: int | None
    display_lots: int | None
    mode: SelfTradePrevention
    maker_fee_ppm: int
    taker_fee_ppm: int
    sequence: int
    entered_at_ns: int
    lock: Lock
    of_command: bool
    """The order of an EnterOrder, replace or move of this very record, not a stop or leg."""
    order_list: OpenList | None = None
    where: Where = Where.ARRIVING
    executed_lots: int = 0
    executed_quote_minor: int = 0
    prevented_lots: int = 0
    quote_left_minor: int = 0
    """By quote: what may still be spent or received."""
    shown_lots: int = 0
    arrival: int = 0
    """Place in the queue of its price."""
    extreme_ticks: int | None = None
    """Trailing: the lowest (BUY) or highest (SELL) trade since the tracking began."""

    @property
    def age(self) -> tuple[int, int]:
        return (self.sequence, self.order_id)

    @property
    def by_budget(self) -> bool:
        return self.side is Side.BUY and self.quote_budget_minor is not None

    @property
    def leaves_lots(self) -> int:
        if self.quantity_lots is None:
            return 0
        return self.quantity_lots - self.executed_lots - self.prevented_lots

    def is_open(self) -> bool:
        return self.where not in (Where.FILLED, Where.ENDED)

    def need_minor(self) -> int:
        """Return what the open part of the order may still cost."""
        if self.side is Side.SELL:
            return self.leaves_lots * self.instrument.lot_minor
        if self.by_budget:
            return self.quote_left_minor
        return self.price_ticks * self.leaves_lots * self.instrument.tick_lot_minor

    def accepts(self, price_ticks: int) -> bool:
        """Tell whether the limit or collar allows a trade at that price."""
        return price_ticks <= self.price_ticks if self.side is Side.BUY else price_ticks >= self.price_ticks

    def show_next_part(self) -> None:
        self.shown_lots = min(self.display_lots or self.leaves_lots, self.leaves_lots)

    # -- stops --------------------------------------------------------------------------------

    @property
    def triggers_upwards(self) -> bool:
        """A stop loss of a buyer and a take profit of a seller wait for the price to rise."""
        return (self.order_type in STOP_LOSSES) == (self.side is Side.BUY)

    def on_the_right_side(self, last_price_ticks: int | None) -> bool:
        stop = self.stop_price_ticks
        if stop is None or last_price_ticks is None:
            return True
        return stop > last_price_ticks if self.triggers_upwards else stop < last_price_ticks

    def reaches_stop(self, price_ticks: int) -> bool:
        stop = self.stop_price_ticks
        if stop is None:
            return True
        return price_ticks >= stop if self.triggers_upwards else price_ticks <= stop

    def is_triggered_by(self, price_ticks: int) -> bool:
        """Look at one trade; a trailing order remembers it."""
        if self.trailing_delta_bips is None:
            return self.reaches_stop(price_ticks)
        if self.extreme_ticks is None:
            if self.reaches_stop(price_ticks):
                self.extreme_ticks = price_ticks
            return False
        if self.side is Side.BUY:
            self.extreme_ticks = min(self.extreme_ticks, price_ticks)
            return price_ticks * BIPS >= self.extreme_ticks * (BIPS + self.trailing_delta_bips)
        self.extreme_ticks = max(self.extreme_ticks, price_ticks)
        return price_ticks * BIPS <= self.extreme_ticks * (BIPS - self.trailing_delta_bips)
