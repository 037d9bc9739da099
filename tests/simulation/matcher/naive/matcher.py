"""The slow matcher: every command of docs/matching.md, one record for each."""

from __future__ import annotations

from schemas import commands as c
from schemas import events as e
from schemas.codec import encode, record_hash
from schemas.instruments import Instrument
from schemas.orders import Side
from tests.simulation.matcher.envelope import Command
from tests.simulation.matcher.naive.auction import NOTHING, Uncrossing
from tests.simulation.matcher.naive.changing import Changing
from tests.simulation.matcher.naive.symbol import AUCTION, HALT, TRADING


class NaiveMatcher(Changing):
    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument)
        self.update_id = 0
        self.previous_hash = e.GENESIS_HASH
        self.passed: dict[int, int] = {}
        self.last_indicated: Uncrossing = NOTHING

    def apply(self, command: Command, input_partition: int, input_offset: int) -> e.CommandMatched | None:
        """Return the record of the command; None if its source offset was passed."""
        if command.source_offset <= self.passed.get(command.source_partition, -1):
            return None
        self.passed[command.source_partition] = command.source_offset
        self.sequence += 1
        self.now = max(self.now, command.occurred_at_ns)
        self.events, self.book.touched = [], []
        self.end_what_time_has_ended()
        self.renew_reference()
        self.handle(command)
        self.follow()
        return self.record(command, input_partition, input_offset)

    def record(self, command: Command, input_partition: int, input_offset: int) -> e.CommandMatched:
        levels = tuple(
            e.LevelChange(side=level[0], price_ticks=level[1], quantity_lots=self.book.shown_at(level))
            for level in self.book.touched
        )
        self.update_id += len(levels)
        record = e.CommandMatched(
            event_id=f"{self.instrument.symbol}-{self.sequence}",
            correlation_id=command.correlation_id,
            causation_id=command.event_id,
            occurred_at_ns=self.now,
            symbol=self.instrument.symbol,
            sequence=self.sequence,
            previous_hash=self.previous_hash,
            input_partition=input_partition,
            input_offset=input_offset,
            source_partition=command.source_partition,
            source_offset=command.source_offset,
            account_id=command.account_id,
            last_update_id=self.update_id,
            last_trade_id=self.trade_id,
            client_order_id=command.client_order_id,
            reply_partition=command.reply_partition,
            events=tuple(self.events),
            levels=levels,
        )
        self.previous_hash = record_hash(encode(record))
        return record

    def book_rows(self) -> list[list[list[int]]]:
        """Return [order id, account, price, leaves] of the bids and of the asks, in priority order."""
        return [
            [[o.order_id, o.account_id, o.price_ticks, o.leaves_lots] for o in self.book.in_priority(side)]
            for side in (Side.BUY, Side.SELL)
        ]

    def handle(self, command: Command) -> None:
        match command:
            case c.EnterOrder():
                self.enter_order(command)
            case c.EnterOrderList():
                self.enter_order_list(command)
            case c.CancelRestingOrder():
                self.cancel_order(command)
            case c.CancelRestingOrders():
                self.cancel_all(command)
            case c.CancelRestingList():
                self.cancel_list(command)
            case c.ReplaceRestingOrder():
                self.replace_order(command)
            case c.AmendRestingOrder():
                self.amend_order(command)
            case c.MoveRestingOrder():
                self.move_order(command)
            case c.SetMarketState():
                self.set_market_state(command)
            case c.Tick():
                self.indicate()

    # -- time and state ------------------------------------------------------------------------

    def end_what_time_has_ended(self) -> None:
        while self.state in (HALT, AUCTION) and self.until_ns is not None and self.until_ns <= self.now:
            if self.state is HALT:
                volatility = self.instrument.volatility
                auction_ns = volatility.auction_ns if volatility is not None else 0
                self.last_indicated = NOTHING
                self.change_state(AUCTION, "time", self.until_ns + auction_ns)
            else:
                self.become_trading("time")
                self.follow()

    def indicate(self) -> None:
        if self.state is not AUCTION:
            return
        found = self.where_it_uncrosses()
        if found != self.last_indicated:
            self.last_indicated = found
            self.events.append(
                e.AuctionIndicated(
                    price_ticks=found.price_ticks,
                    quantity_lots=found.quantity_lots,
                    imbalance_lots=found.imbalance_lots,
                )
            )

    def set_market_state(self, command: c.SetMarketState) -> None:
        if command.state is TRADING and self.state is not TRADING:
            return self.become_trading("command", command.until_ns)
        if command.state is AUCTION and self.state is not AUCTION:
            self.last_indicated = NOTHING
        return self.change_state(command.state, "command", command.until_ns)
