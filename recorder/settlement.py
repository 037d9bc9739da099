"""What a batch of events does to every table, added up. Pure: events in, rows and deltas out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from recorder.journal import Leg, deposit_legs, release_legs, reversed_legs, trade_legs
from recorder.order_changes import OrderChanges
from schemas.events import CommandMatched, FundsDeposited, OrderListRefused, TradeExecuted
from schemas.instruments import Instruments

WalletKey = tuple[int, str]
LedgerRow = tuple[str, int, int, int, int, str, int, int, int, str | None, int | None]
"""source, partition, offset, leg, account, asset, available delta, locked delta, at, symbol, reference"""


@dataclass(slots=True)
class Settled:
    """How far a symbol is settled after the batch; None: the batch did not touch that topic."""

    sequence: int | None = None
    last_hash: str | None = None
    trade_id: int | None = None
    last_price_ticks: int | None = None


class RefusedList(NamedTuple):
    """A record that refused an order list, and its place."""

    matched: CommandMatched
    partition: int
    offset: int
    legs: int
    """How many of the record's are in the ledger already: time that passed may have ended orders, too."""


@dataclass(slots=True)
class Settlement:
    """Collects accepted events in order; nothing here is seen twice."""

    instruments: Instruments
    ledger: list[LedgerRow] = field(default_factory=list)
    wallets: dict[WalletKey, list[int]] = field(default_factory=dict)
    """(account, asset) -> [available delta, locked delta]"""
    trades: list[TradeExecuted] = field(default_factory=list)
    changes: OrderChanges = field(default_factory=OrderChanges)
    settled: dict[str, Settled] = field(default_factory=dict)
    refused_lists: list[RefusedList] = field(default_factory=list)
    """To be given back: what they had locked stands in the ledger."""

    def trade(self, trade: TradeExecuted, partition: int, offset: int) -> None:
        instrument = self.instruments[trade.symbol]
        legs = trade_legs(trade, instrument.base.name, instrument.quote.name)
        self._post("T", partition, offset, legs, trade.occurred_at_ns, trade.symbol)
        self.trades.append(trade)
        self.changes.trade(trade)
        settled = self._settled(trade.symbol)
        settled.trade_id, settled.last_price_ticks = trade.trade_id, trade.price_ticks

    def matched(self, matched: CommandMatched, record_hash: str, partition: int, offset: int) -> None:
        legs = release_legs(matched, self.instruments[matched.symbol])
        self._post("M", partition, offset, legs, matched.occurred_at_ns, matched.symbol)
        self.changes.matched(matched)
        for event in matched.events:
            if type(event) is OrderListRefused:
                self.refused_lists.append(RefusedList(matched, partition, offset, len(legs)))
        settled = self._settled(matched.symbol)
        settled.sequence, settled.last_hash = matched.sequence, record_hash

    def give_back(self, refused: RefusedList, reserved: Sequence[Leg]) -> None:
        """Release what the reservation of a refused order list had locked."""
        matched, partition, offset, first = refused
        legs = reversed_legs(reserved)
        self._post("M", partition, offset, legs, matched.occurred_at_ns, matched.symbol, first)

    def deposit(self, deposit: FundsDeposited, partition: int, offset: int) -> None:
        self._post("A", partition, offset, deposit_legs(deposit), deposit.occurred_at_ns, None)

    def _post(
        self,
        source: str,
        partition: int,
        offset: int,
        legs: Sequence[Leg],
        at_ns: int,
        symbol: str | None,
        first: int = 0,
    ) -> None:
        for number, (account_id, asset, available, locked, reference) in enumerate(legs, first):
            self.ledger.append(
                (
                    source,
                    partition,
                    offset,
                    number,
                    account_id,
                    asset,
                    available,
                    locked,
                    at_ns,
                    symbol,
                    reference,
                )
            )
            wallet = self.wallets.get((account_id, asset))
            if wallet is None:
                self.wallets[account_id, asset] = [available, locked]
            else:
                wallet[0] += available
                wallet[1] += locked

    def _settled(self, symbol: str) -> Settled:
        found = self.settled.get(symbol)
        if found is None:
            found = self.settled[symbol] = Settled()
        return found


def first_overdrawn(
    ledger: Sequence[LedgerRow], balances: dict[WalletKey, list[int]], unlimited: int
) -> LedgerRow | None:
    """Return the first row that no wallet can take, to name it; `balances` are those before the batch."""
    for row in ledger:
        key = (row[4], row[5])
        balance = balances.setdefault(key, [0, 0])
        balance[0] += row[6]
        balance[1] += row[7]
        low = -(2**63) if row[4] == unlimited else 0
        if not (low <= balance[0] < 2**63 and 0 <= balance[1] < 2**63):
            return row
    return None
