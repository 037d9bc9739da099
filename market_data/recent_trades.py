"""The last trades of one symbol, and the same as aggregate trades."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import attrgetter

import msgspec

from schemas.events import CommandMatched, OrdersTraded
from schemas.orders import Side


class Trade(msgspec.Struct, frozen=True, gc=False):
    """A trade as clients see it. `taker_order_id` is what aggregates are made by."""

    trade_id: int
    price_ticks: int
    quantity_lots: int
    quote_minor: int
    time_ms: int
    buyer_is_maker: bool
    taker_order_id: int


class AggregateTrade(msgspec.Struct, frozen=True, gc=False):
    """All trades of one taker order at one price. Its id is its first trade's: it needs no counter."""

    price_ticks: int
    quantity_lots: int
    first_trade_id: int
    last_trade_id: int
    time_ms: int
    buyer_is_maker: bool


def trades_of(record: CommandMatched) -> list[Trade]:
    """Return the trades one command made, in order."""
    time_ms = record.occurred_at_ns // 1_000_000
    return [
        Trade(
            event.trade_id,
            event.price_ticks,
            event.quantity_lots,
            event.quote_minor,
            time_ms,
            event.taker_side is Side.SELL,
            event.taker_order_id,
        )
        for event in record.events
        if type(event) is OrdersTraded
    ]


def aggregate(trades: Iterable[Trade]) -> list[AggregateTrade]:
    """Join neighbours of one taker order and price. The trades of an order must not be cut in two."""
    runs: list[list[Trade]] = []
    for trade in trades:
        if runs:
            last = runs[-1][-1]
            if last.taker_order_id == trade.taker_order_id and last.price_ticks == trade.price_ticks:
                runs[-1].append(trade)
                continue
        runs.append([trade])
    return [
        AggregateTrade(
            run[0].price_ticks,
            sum(trade.quantity_lots for trade in run),
            run[0].trade_id,
            run[-1].trade_id,
            run[0].time_ms,
            run[0].buyer_is_maker,
        )
        for run in runs
    ]


class RecentTrades:
    """Trades without a gap, newest last; at least `keep` of them once there were so many."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self.trades: list[Trade] = []
        self.aggregates: list[AggregateTrade] = []

    def add(self, trades: list[Trade], aggregates: list[AggregateTrade]) -> None:
        self.trades += trades
        self.aggregates += aggregates
        if len(self.trades) > 2 * self._keep:
            del self.trades[: -self._keep]
            oldest = self.trades[0].trade_id
            del self.aggregates[: bisect_left(self.aggregates, oldest, key=attrgetter("first_trade_id"))]

    @property
    def first_id(self) -> int | None:
        """Id of the oldest trade held; None if there is none."""
        return self.trades[0].trade_id if self.trades else None

    @property
    def last_price_ticks(self) -> int | None:
        return self.trades[-1].price_ticks if self.trades else None

    def from_id(self, trade_id: int, limit: int) -> list[Trade]:
        """Return the oldest `limit` trades from `trade_id` upward."""
        if not self.trades:
            return []
        start = max(0, trade_id - self.trades[0].trade_id)
        return self.trades[start : start + limit]

    def last_id_until(self, time_ms: int) -> int | None:
        """Return the id of the last trade not later than `time_ms`, if it is held."""
        index = bisect_right(self.trades, time_ms, key=attrgetter("time_ms"))
        return self.trades[index - 1].trade_id if index else None
