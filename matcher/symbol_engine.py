"""One symbol's matcher: commands in, one sequenced and hash-chained record for each out.

A pure function of its input: time, ids and offsets arrive in the commands. A compiled core may take
its place behind `apply`, `state` and `restore`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from msgspec.structs import force_setattr

from matcher import changes, engine_state, list_entry, market_states, order_entry
from matcher.consequences import follow
from matcher.market import Market
from matcher.narration import trades_executed
from matcher.order_book import OrderBook
from schemas.codec import encode, record_hash
from schemas.commands import (
    AmendRestingOrder,
    CancelRestingList,
    CancelRestingOrder,
    CancelRestingOrders,
    EnterOrder,
    EnterOrderList,
    MoveRestingOrder,
    ReplaceRestingOrder,
    SetMarketState,
    Tick,
)
from schemas.events import GENESIS_HASH, CommandMatched, TradeExecuted
from schemas.instruments import Instrument
from schemas.orders import MarketState

Command = (
    EnterOrder
    | EnterOrderList
    | CancelRestingOrder
    | CancelRestingOrders
    | CancelRestingList
    | ReplaceRestingOrder
    | AmendRestingOrder
    | MoveRestingOrder
    | SetMarketState
    | Tick
)


class Input(NamedTuple):
    """A command and its place in `validated-orders`."""

    partition: int
    offset: int
    command: Command


class Matched(NamedTuple):
    """What one command led to: the record, its bytes as they are logged, its trades."""

    record: CommandMatched
    data: bytes
    trades: tuple[TradeExecuted, ...]


def _set_state(market: Market, command: SetMarketState) -> None:
    market_states.change_state(market, command.state, command.until_ns, "command")


def _tick(market: Market, command: Tick) -> None:
    market_states.indicate(market)


_HANDLERS: dict[type, Callable[[Market, Any], None]] = {
    EnterOrder: order_entry.enter,
    EnterOrderList: list_entry.enter_list,
    CancelRestingOrder: changes.cancel,
    CancelRestingOrders: changes.cancel_all,
    CancelRestingList: changes.cancel_list,
    ReplaceRestingOrder: changes.replace,
    AmendRestingOrder: changes.amend,
    MoveRestingOrder: changes.move,
    SetMarketState: _set_state,
    Tick: _tick,
}


class SymbolEngine:
    """The market of one symbol and all else that the next record depends on."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.market = Market(instrument)
        self.sequence = 0
        self.last_hash = GENESIS_HASH
        self.update_id = 0
        self.occurred_at_ns = 0
        self.input_partition = -1
        self.input_offset = -1
        self.passed: dict[int, int] = {}
        """Source partition -> last source offset handled."""

    @property
    def book(self) -> OrderBook:
        return self.market.book

    @property
    def market_state(self) -> MarketState:
        return self.market.state

    @property
    def trade_id(self) -> int:
        return self.market.trade_id

    @property
    def last_price_ticks(self) -> int:
        """The last trade's price; 0: there was none."""
        return self.market.last_price_ticks

    def apply(self, batch: Sequence[Input]) -> list[Matched]:
        """Handle commands in order. One whose source offset was passed leaves no trace but its place."""
        done, passed = [], self.passed
        for partition, offset, command in batch:
            self.input_partition, self.input_offset = partition, offset
            source = command.source_partition
            if source in passed and command.source_offset <= passed[source]:
                continue
            if command.source_offset < 0:
                continue
            passed[source] = command.source_offset
            done.append(self._handle(command))
        return done

    def state(self) -> str:
        """Return everything the next record depends on, as canonical JSON text."""
        return engine_state.dump(self)

    def restore(self, state: str) -> None:
        """Become what `state` says. Raises engine_state.UnusableState and then has changed nothing."""
        engine_state.load(self, state)

    def book_hash(self) -> str:
        """Return a hash over every resting order in priority order, bids first."""
        return engine_state.book_hash(self.book)

    def _handle(self, command: Command) -> Matched:
        market = self.market
        self.sequence = sequence = self.sequence + 1
        self.occurred_at_ns = now = max(self.occurred_at_ns, command.occurred_at_ns)
        last_trade_id = market.trade_id
        market_states.start(market, now, sequence)
        _HANDLERS[type(command)](market, command)
        follow(market)
        levels = market.level_changes()
        self.update_id += len(levels)
        record = CommandMatched(
            event_id=f"{self.symbol}-{sequence}",
            correlation_id=command.correlation_id,
            causation_id=command.event_id,
            occurred_at_ns=now,
            symbol=self.symbol,
            sequence=sequence,
            previous_hash=self.last_hash,
            input_partition=self.input_partition,
            input_offset=self.input_offset,
            source_partition=command.source_partition,
            source_offset=command.source_offset,
            account_id=command.account_id,
            last_update_id=self.update_id,
            last_trade_id=market.trade_id,
            events=tuple(market.events),
        )
        # More than 15 keyword arguments make Python build a dict, which takes longer than these.
        force_setattr(record, "client_order_id", command.client_order_id)
        if command.reply_partition is not None:
            force_setattr(record, "reply_partition", command.reply_partition)
        if levels:
            force_setattr(record, "levels", levels)
        data = encode(record)
        self.last_hash = record_hash(data)
        return Matched(record, data, trades_executed(record) if market.trade_id > last_trade_id else ())
