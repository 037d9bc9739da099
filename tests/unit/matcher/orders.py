"""Commands for the matcher, so that a test sets only what matters; and books from text tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from matcher import Input, Matched, SymbolEngine
from matcher.symbol_engine import Command
from schemas.commands import CancelRestingOrder, CancelRestingOrders, EnterOrder, SetMarketState
from schemas.instruments import Instrument, load_instruments
from schemas.orders import MarketState, OrderType, Side, TimeInForce

INSTRUMENT = load_instruments()["BTCUSDT"]
BUY, SELL = Side.BUY, Side.SELL
T0 = 1_700_000_000_000_000_000


def reserved(instrument: Instrument, side: Side, price: int, lots: int | None, budget: int | None) -> int:
    if side is SELL:
        return (lots or 0) * instrument.lot_minor
    if lots is None:
        return budget or 0
    return price * lots * instrument.tick_lot_minor


class Desk:
    """Sends commands to one engine; each takes the next offset of the input and of one source."""

    def __init__(self, instrument: Instrument = INSTRUMENT, engine: SymbolEngine | None = None) -> None:
        self.engine = engine or SymbolEngine(instrument)
        self.instrument = instrument
        self.inputs: list[Input] = []
        self._offsets = count()

    def send(self, command: Command) -> Matched:
        """Apply a command that must leave a record."""
        given = Input(0, len(self.inputs), command)
        self.inputs.append(given)
        (matched,) = self.engine.apply([given])
        return matched

    def enter(self, order_id: int, side: Side, price: int, lots: int | None, **terms: Any) -> Matched:
        return self.send(self.order(order_id, side, price, lots, **terms))

    def order(self, order_id: int, side: Side, price: int, lots: int | None, **terms: Any) -> EnterOrder:
        terms.setdefault("order_type", OrderType.LIMIT)
        terms.setdefault("time_in_force", TimeInForce.GTC)
        terms.setdefault("maker_fee_ppm", 1000)
        terms.setdefault("taker_fee_ppm", 2000)
        terms.setdefault("client_order_id", f"c{order_id}")
        budget = terms.get("quote_budget_minor")
        terms.setdefault("reserved_minor", reserved(self.instrument, side, price, lots, budget))
        return EnterOrder(
            order_id=order_id, side=side, price_ticks=price, quantity_lots=lots, **self._envelope(**terms)
        )

    def cancel(self, order_id: int, **terms: Any) -> Matched:
        terms.setdefault("client_order_id", "the-cancel")
        return self.send(CancelRestingOrder(order_id=order_id, **self._envelope(**terms)))

    def cancel_all(self, **terms: Any) -> Matched:
        terms.setdefault("client_order_id", "the-cancel")
        return self.send(CancelRestingOrders(**self._envelope(**terms)))

    def set_state(self, state: MarketState, until_ns: int | None = None) -> Matched:
        return self.send(SetMarketState(state=state, until_ns=until_ns, **self._envelope(account_id=0)))

    def _envelope(self, **terms: Any) -> dict[str, Any]:
        offset = next(self._offsets)
        return {
            "event_id": f"command-{offset}",
            "correlation_id": f"request-{offset}",
            "causation_id": f"request-{offset}",
            "occurred_at_ns": T0 + offset,
            "source_partition": 0,
            "source_offset": offset,
            "account_id": 1,
            "symbol": self.instrument.symbol,
            **terms,
        }


def book_of(table: str) -> Desk:
    """Return a desk whose book is the table's (as `matcher.text_view` prints it; `7+3` are two orders).

    Order ids count from 1, bids first, best first; each order is account 100 + its id.
    """
    desk = Desk()
    rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()[1:]]
    bids: Sequence[list[str]] = [row for row in rows if row[0]]
    asks = [row for row in reversed(rows) if row[2]]
    numbers = count(1)
    for side, cell, levels in ((BUY, 0, bids), (SELL, 2, asks)):
        for row in levels:
            for lots in row[cell].split("+"):
                number = next(numbers)
                desk.enter(number, side, int(row[1]), int(lots), account_id=100 + number)
    return desk
