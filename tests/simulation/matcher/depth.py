"""The displayed book by the level changes alone: ids have no gap, totals are right, nothing crosses."""

from __future__ import annotations

from schemas import events as e
from schemas.orders import MarketState, Side


class Depth:
    def __init__(self) -> None:
        self.levels: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self.update_id = 0
        self.trade_id = 0
        self.state = MarketState.TRADING

    def follow(self, record: e.CommandMatched) -> None:
        for change in record.levels:
            assert change.quantity_lots >= 0
            self.levels[change.side][change.price_ticks] = change.quantity_lots
            if change.quantity_lots == 0:
                del self.levels[change.side][change.price_ticks]
        touched = [(change.side, change.price_ticks) for change in record.levels]
        assert len(set(touched)) == len(touched), "a level is told twice"
        self.update_id += len(record.levels)
        assert record.last_update_id == self.update_id
        for event in record.events:
            if isinstance(event, e.OrdersTraded):
                self.trade_id += 1
                assert event.trade_id == self.trade_id
            elif isinstance(event, e.MarketStateChanged):
                self.state = event.state
        assert record.last_trade_id == self.trade_id
        bids, asks = self.levels[Side.BUY], self.levels[Side.SELL]
        if self.state is MarketState.TRADING and bids and asks:
            assert max(bids) < min(asks), "the book is crossed"
