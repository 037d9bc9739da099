"""The states of a market: what time and commands change, and the uncrossing that leads back to trading."""

from __future__ import annotations

from matcher import narration
from matcher.auction import uncrossing
from matcher.consequences import follow
from matcher.market import Market
from matcher.order import age
from matcher.trade_reports import tell_trade
from schemas.events import AuctionIndicated, AuctionUncrossed, StateCause
from schemas.orders import MarketState

_TRADING, _AUCTION, _HALT = MarketState.TRADING, MarketState.AUCTION, MarketState.HALT


def start(market: Market, now: int, sequence: int) -> None:
    """Begin a command: end what time has ended, to its last consequence."""
    market.now, market.sequence = now, sequence
    market.events, market.touched = [], []
    if market.until_ns is not None:
        _end_in_time(market)
    if market.book.guard is not None:
        market.book.guard.start(now, market.last_price_ticks)


def _end_in_time(market: Market) -> None:
    now = market.now
    while market.until_ns is not None and market.until_ns <= now:
        if market.state is _HALT:
            volatility = market.instrument.volatility
            auction = 0 if volatility is None else volatility.auction_ns
            change_state(market, _AUCTION, market.until_ns + auction, "time")
        elif market.state is _AUCTION:
            change_state(market, _TRADING, None, "time")
        else:
            break


def change_state(market: Market, state: MarketState, until_ns: int | None, cause: StateCause) -> None:
    before = market.state
    if state is not _TRADING or before is _TRADING:
        market.become(state, until_ns, cause)
        return
    prices = _uncross(market, told=before is _AUCTION)
    market.become(state, until_ns, cause)
    market.see(prices)
    follow(market)


def indicate(market: Market) -> None:
    """In an auction, tell where it would uncross, if that is news."""
    if market.state is _AUCTION:
        found = uncrossing(market.book, market.last_price_ticks)
        if found != market.indicated:
            market.indicated = found
            market.events.append(
                AuctionIndicated(
                    price_ticks=found.price_ticks,
                    quantity_lots=found.quantity_lots,
                    imbalance_lots=found.imbalance_lots,
                )
            )


def _uncross(market: Market, told: bool) -> list[int]:
    """Uncross the book; return the prices that the held stops are to see."""
    found = uncrossing(market.book, market.last_price_ticks)
    price_ticks = found.price_ticks
    if told or price_ticks is not None:
        market.events.append(
            AuctionUncrossed(
                price_ticks=price_ticks,
                quantity_lots=found.quantity_lots,
                imbalance_lots=found.imbalance_lots,
            )
        )
    if price_ticks is not None:
        _trade_at(market, price_ticks, found.quantity_lots)
    told = told or price_ticks is not None
    if told and market.book.guard is not None and market.last_price_ticks:
        market.book.guard.now = market.now
        market.book.guard.refer(market.last_price_ticks)
    return [market.last_price_ticks] if market.last_price_ticks else []


def _trade_at(market: Market, price_ticks: int, lots: int) -> None:
    book = market.book
    while lots:
        bids, asks = book.bids.best(), book.asks.best()
        if bids is None or asks is None:
            raise RuntimeError("the uncrossing volume is not in the book")
        bid, ask = bids.front(), asks.front()
        traded = min(bid.shown_lots, ask.shown_lots, lots)
        lots -= traded
        maker, taker = (bid, ask) if age(bid) < age(ask) else (ask, bid)
        for ladder, level, order in ((book.bids, bids, bid), (book.asks, asks, ask)):
            market.touch(order.side, order.price_ticks)
            book.take_from(ladder, level, order, traded)
            order.executed_notional += (price_ticks - order.price_ticks) * traded
        both = taker.leaves_lots, maker.leaves_lots
        tell_trade(market, taker, maker, price_ticks, traded, both, True, taker.maker_fee_ppm)
        for order in (maker, taker):
            if not order.leaves_lots:
                market.note_end(order, filled=True)
                market.events.append(narration.filled(order))
