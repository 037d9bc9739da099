"""A small market that writes the matcher's records: levels, trades, sequences and hash chain all agree."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from schemas.codec import encode, record_hash
from schemas.events import (
    GENESIS_HASH,
    CommandMatched,
    LevelChange,
    OrdersTraded,
    TradeExecuted,
)
from schemas.instruments import load_instruments
from schemas.orders import Side
from schemas.topics import load_topics

START_MS = 1_767_225_600_000
"""2026-01-01 00:00:00 UTC."""


@dataclass
class Market:
    """One symbol. Every method is one command; `records` holds what the matcher would have written."""

    symbol: str = "BTCUSDT"
    now_ms: int = START_MS
    sequence: int = 0
    last_hash: str = GENESIS_HASH
    update_id: int = 0
    trade_id: int = 0
    order_id: int = 0
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    records: list[bytes] = field(default_factory=list)
    trades: list[TradeExecuted] = field(default_factory=list)

    @property
    def partition(self) -> int:
        return load_topics().partition_of_symbol(self.symbol)

    def rest(self, side: Side, price_ticks: int, lots: int) -> CommandMatched:
        """Add `lots` to a level (take them off if negative)."""
        levels = self.bids if side is Side.BUY else self.asks
        total = levels.get(price_ticks, 0) + lots
        _set(levels, price_ticks, total)
        return self._record([LevelChange(side=side, price_ticks=price_ticks, quantity_lots=total)], [])

    def take(self, side: Side, lots: int, parts: int = 1) -> CommandMatched:
        """Trade `lots` against the best levels; each level gives them in `parts` trades where it can."""
        maker_side = Side.SELL if side is Side.BUY else Side.BUY
        levels = self.asks if side is Side.BUY else self.bids
        self.order_id += 1
        changes, fills = [], []
        for price in sorted(levels, reverse=side is Side.SELL):
            if not lots:
                break
            taken = min(lots, levels[price])
            lots -= taken
            _set(levels, price, levels[price] - taken)
            changes.append(
                LevelChange(side=maker_side, price_ticks=price, quantity_lots=levels.get(price, 0))
            )
            fills += [self._fill(side, price, size) for size in _split(taken, parts)]
        return self._record(changes, fills)

    def trade(self, price_ticks: int, lots: int, side: Side = Side.BUY) -> CommandMatched:
        """Trade at a price without a trace in the book."""
        self.order_id += 1
        return self._record([], [self._fill(side, price_ticks, lots)])

    def random_command(self, rng: random.Random) -> CommandMatched:
        middle = 3_000_000
        kind = rng.random()
        side = rng.choice([Side.BUY, Side.SELL])
        if kind < 0.6:
            offset = rng.randint(1, 40)
            return self.rest(
                side, middle - offset if side is Side.BUY else middle + offset, rng.randint(1, 9)
            )
        if kind < 0.75:
            levels = self.bids if side is Side.BUY else self.asks
            if levels:
                price = rng.choice(sorted(levels))
                return self.rest(side, price, -rng.randint(1, levels[price]))
        return self.take(side, rng.randint(1, 30), parts=rng.randint(1, 3))

    def _fill(self, side: Side, price: int, lots: int) -> OrdersTraded:
        self.trade_id += 1
        instrument = load_instruments()[self.symbol]
        quote = instrument.notional_minor(price, lots)
        return OrdersTraded(
            trade_id=self.trade_id,
            price_ticks=price,
            quantity_lots=lots,
            base_minor=lots * instrument.lot_minor,
            quote_minor=quote,
            taker_side=side,
            taker_order_id=self.order_id,
            taker_account_id=1001,
            taker_fee_minor=0,
            maker_order_id=900_000 + self.trade_id,
            maker_account_id=1002,
            maker_client_order_id="maker",
            maker_fee_minor=0,
            maker_leaves_lots=0,
            buyer_lock_minor=quote,
        )

    def _record(self, levels: list[LevelChange], fills: list[OrdersTraded]) -> CommandMatched:
        self.sequence += 1
        self.update_id += len(levels)
        name = f"{self.symbol}-{self.sequence}"
        record = CommandMatched(
            event_id=name,
            correlation_id=name,
            causation_id=name,
            occurred_at_ns=self.now_ms * 1_000_000,
            symbol=self.symbol,
            sequence=self.sequence,
            previous_hash=self.last_hash,
            input_partition=self.partition,
            input_offset=self.sequence - 1,
            source_partition=0,
            source_offset=self.sequence,
            account_id=1001,
            last_update_id=self.update_id,
            last_trade_id=self.trade_id,
            events=tuple(fills),
            levels=tuple(levels),
        )
        data = encode(record)
        self.last_hash = record_hash(data)
        self.records.append(data)
        self.trades += [trade_executed(record, fill) for fill in fills]
        return record


def trade_executed(record: CommandMatched, fill: OrdersTraded) -> TradeExecuted:
    buys = fill.taker_side is Side.BUY
    return TradeExecuted(
        event_id=f"{record.symbol}-trade-{fill.trade_id}",
        correlation_id=record.correlation_id,
        causation_id=record.event_id,
        occurred_at_ns=record.occurred_at_ns,
        symbol=record.symbol,
        sequence=record.sequence,
        trade_id=fill.trade_id,
        price_ticks=fill.price_ticks,
        quantity_lots=fill.quantity_lots,
        base_minor=fill.base_minor,
        quote_minor=fill.quote_minor,
        taker_side=fill.taker_side,
        buyer_order_id=fill.taker_order_id if buys else fill.maker_order_id,
        buyer_account_id=1001,
        buyer_fee_minor=0,
        buyer_lock_minor=fill.quote_minor,
        seller_order_id=fill.maker_order_id if buys else fill.taker_order_id,
        seller_account_id=1002,
        seller_fee_minor=0,
    )


def _set(levels: dict[int, int], price: int, total: int) -> None:
    if total:
        levels[price] = total
    else:
        levels.pop(price, None)


def _split(total: int, parts: int) -> list[int]:
    sizes = [total // parts] * parts
    sizes[-1] += total - sum(sizes)
    return [size for size in sizes if size]
