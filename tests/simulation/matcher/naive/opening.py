"""How a symbol becomes TRADING: the auction is uncrossed, stops look at what it traded."""

from __future__ import annotations

from schemas.events import AuctionUncrossed, StateCause
from schemas.orders import Side
from tests.simulation.matcher.naive.auction import Uncrossing, uncrossing
from tests.simulation.matcher.naive.symbol import AUCTION, TRADING
from tests.simulation.matcher.naive.trading import Trading


class Opening(Trading):
    def become_trading(self, cause: StateCause, until_ns: int | None = None) -> None:
        if self.state is AUCTION or self.book.is_crossed():
            self.uncross()
        self.change_state(TRADING, cause, until_ns)
        if self.trade_prices:
            self.look_at_trades()
        elif self.last_price_ticks is not None:
            self.look_at([self.last_price_ticks])

    def where_it_uncrosses(self) -> Uncrossing:
        bids, asks = self.book.in_priority(Side.BUY), self.book.in_priority(Side.SELL)
        return uncrossing(bids, asks, self.last_price_ticks)

    def uncross(self) -> None:
        found = self.where_it_uncrosses()
        self.events.append(
            AuctionUncrossed(
                price_ticks=found.price_ticks,
                quantity_lots=found.quantity_lots,
                imbalance_lots=found.imbalance_lots,
            )
        )
        price, left = found.price_ticks, found.quantity_lots
        while price is not None and left:
            bid, ask = self.book.in_priority(Side.BUY)[0], self.book.in_priority(Side.SELL)[0]
            lots = min(bid.shown_lots, ask.shown_lots, left)
            taker, maker = (bid, ask) if bid.age > ask.age else (ask, bid)
            self.book.touch(bid)
            self.trade(taker, maker, price, lots, auction=True)
            left -= lots
        if self.last_price_ticks is not None:
            self.set_reference(self.last_price_ticks)
