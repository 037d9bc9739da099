"""Bars of trades: what keeps the cost of candles from growing with the rate of trades.

A bar holds the trades of one symbol in one slot of a quarter second of exchange time, so it never
crosses a whole second. One maker works on one partition of `trade-execution`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from schemas.events import TradeBar, TradeExecuted
from schemas.orders import Side
from service_runtime.errors import SequenceGap

SLOT_MS = 250


class OpenBar(msgspec.Struct, gc=False):
    """A bar that still grows. `first_offset` is where its first trade is in the partition."""

    first_offset: int
    slot: int
    correlation_id: str
    causation_id: str
    first_trade_id: int
    last_trade_id: int
    first_at_ms: int
    last_at_ns: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int
    last_quantity_lots: int
    volume_lots: int = 0
    quote_minor: int = 0
    taker_buy_lots: int = 0
    taker_buy_quote_minor: int = 0


class BarMaker:
    """Makes the bars of one partition.

    `last_trade_ids` and the offset to start at come from the bars already written (`resume`): a trade
    that is in one of them is dropped, so none is missed and none counts twice.
    """

    def __init__(self, next_offset: int, last_trade_ids: Mapping[str, int]) -> None:
        self.next_offset = next_offset
        self._last_trade_ids = dict(last_trade_ids)
        self._open: dict[str, OpenBar] = {}

    @property
    def pending(self) -> bool:
        return bool(self._open)

    def add(self, trade: TradeExecuted, offset: int) -> TradeBar | None:
        """Take one trade; return the symbol's last bar if this trade belongs to another slot.

        Raises SequenceGap when a trade is missing.
        """
        self.next_offset = offset + 1
        last = self._last_trade_ids.get(trade.symbol)
        if last is not None and trade.trade_id != last + 1:
            if trade.trade_id <= last:
                return None
            raise SequenceGap(f"{trade.symbol}: trade {trade.trade_id} follows {last}")
        self._last_trade_ids[trade.symbol] = trade.trade_id
        time_ms = trade.occurred_at_ns // 1_000_000
        slot = time_ms // SLOT_MS
        bar = self._open.get(trade.symbol)
        done = None
        if bar is None or bar.slot != slot:
            fresh = _opened(trade, offset, slot, time_ms)
            self._open[trade.symbol] = fresh
            if bar is not None:
                done = self._finished(trade.symbol, bar)
            bar = fresh
        _grow(bar, trade)
        return done

    def flush(self) -> list[TradeBar]:
        """Return every open bar. Each one's `next_offset` leaves out no trade that is not yet in a bar."""
        bars = []
        for symbol in list(self._open):
            bar = self._open.pop(symbol)
            bars.append(self._finished(symbol, bar))
        return bars

    def _finished(self, symbol: str, bar: OpenBar) -> TradeBar:
        next_offset = min((other.first_offset for other in self._open.values()), default=self.next_offset)
        return TradeBar(
            event_id=f"bar:{symbol}:{bar.first_trade_id}-{bar.last_trade_id}",
            correlation_id=bar.correlation_id,
            causation_id=bar.causation_id,
            occurred_at_ns=bar.last_at_ns,
            symbol=symbol,
            first_trade_id=bar.first_trade_id,
            last_trade_id=bar.last_trade_id,
            first_at_ms=bar.first_at_ms,
            last_at_ms=bar.last_at_ns // 1_000_000,
            open_ticks=bar.open_ticks,
            high_ticks=bar.high_ticks,
            low_ticks=bar.low_ticks,
            close_ticks=bar.close_ticks,
            last_quantity_lots=bar.last_quantity_lots,
            volume_lots=bar.volume_lots,
            quote_minor=bar.quote_minor,
            taker_buy_lots=bar.taker_buy_lots,
            taker_buy_quote_minor=bar.taker_buy_quote_minor,
            next_offset=next_offset,
        )


def _opened(trade: TradeExecuted, offset: int, slot: int, time_ms: int) -> OpenBar:
    price = trade.price_ticks
    return OpenBar(
        first_offset=offset,
        slot=slot,
        correlation_id=trade.correlation_id,
        causation_id=trade.event_id,
        first_trade_id=trade.trade_id,
        last_trade_id=trade.trade_id,
        first_at_ms=time_ms,
        last_at_ns=trade.occurred_at_ns,
        open_ticks=price,
        high_ticks=price,
        low_ticks=price,
        close_ticks=price,
        last_quantity_lots=trade.quantity_lots,
    )


def _grow(bar: OpenBar, trade: TradeExecuted) -> None:
    price = trade.price_ticks
    bar.last_trade_id = trade.trade_id
    bar.last_at_ns = trade.occurred_at_ns
    bar.correlation_id = trade.correlation_id
    bar.causation_id = trade.event_id
    if price > bar.high_ticks:
        bar.high_ticks = price
    elif price < bar.low_ticks:
        bar.low_ticks = price
    bar.close_ticks = price
    bar.last_quantity_lots = trade.quantity_lots
    bar.volume_lots += trade.quantity_lots
    bar.quote_minor += trade.quote_minor
    if trade.taker_side is Side.BUY:
        bar.taker_buy_lots += trade.quantity_lots
        bar.taker_buy_quote_minor += trade.quote_minor
