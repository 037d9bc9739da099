"""Tells balances once they are settled: outboundAccountPosition after orders, balanceUpdate after deposits.

What an account's orders changed since the last look is told in one position, with the balances at or
after the last of these changes. While Postgres is away nothing is told, and nothing is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import structlog

from ingest.read_pool import ReadsAway
from ingest.user_data.feed_reads import Balances, Place, Settled
from schemas.events import CommandMatched, FundsDeposited
from schemas.instruments import Instruments
from schemas.public_wire import NS_PER_MS

_log = structlog.get_logger("user_data")
_FIRST_PAUSE_S: Final = 0.002
_LONGEST_PAUSE_S: Final = 0.1
Emit = Callable[[int, dict[str, Any]], None]


class BalanceReads(Protocol):
    """What is asked of `feed_reads.FeedReads`. Raises ReadsAway."""

    async def balances(self, accounts: list[int], deposits: list[Place]) -> Balances: ...


@dataclass(slots=True)
class _Changed:
    """What of one account is to be told, and what must be settled before."""

    assets: dict[str, None] = field(default_factory=dict)
    needed: Settled = field(default_factory=dict)
    at_ns: int = 0


class BalanceDesk:
    """Every method is called on the loop."""

    def __init__(
        self, instruments: Instruments, reads: BalanceReads, emit: Emit, now_ns: Callable[[], int]
    ) -> None:
        self._instruments = instruments
        self._reads = reads
        self._emit = emit
        self._now_ns = now_ns
        self._changed: dict[int, _Changed] = {}
        self._deposits: dict[Place, FundsDeposited] = {}
        self._wake = asyncio.Event()

    def matched(self, account_id: int, record: CommandMatched) -> None:
        """Note that a record changed an account's balances."""
        changed = self._changed.setdefault(account_id, _Changed())
        instrument = self._instruments[record.symbol]
        changed.assets[instrument.base.name] = changed.assets[instrument.quote.name] = None
        changed.needed[record.symbol] = (record.sequence, record.last_trade_id)
        changed.at_ns = max(changed.at_ns, record.occurred_at_ns)
        self._wake.set()

    def deposited(self, deposit: FundsDeposited, partition: int, offset: int) -> None:
        self._deposits[partition, offset] = deposit
        self._wake.set()

    def forget(self, account_id: int) -> None:
        self._changed.pop(account_id, None)
        self._deposits = {p: d for p, d in self._deposits.items() if d.account_id != account_id}

    async def run(self) -> None:
        """Look until canceled; again and again, with growing pauses, while something is not settled."""
        pause_s = _FIRST_PAUSE_S
        while True:
            if not self._changed and not self._deposits:
                self._wake.clear()
                await self._wake.wait()
                pause_s = _FIRST_PAUSE_S
            try:
                told = self._tell(await self._reads.balances(list(self._changed), list(self._deposits)))
            except ReadsAway as away:
                _log.warning("balances cannot be told now", error=str(away))
                told, pause_s = 0, _LONGEST_PAUSE_S
            pause_s = _FIRST_PAUSE_S if told else min(pause_s * 2, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)

    def _tell(self, balances: Balances) -> int:
        told = 0
        for account_id, changed in list(self._changed.items()):
            if reached(balances.settled, changed.needed):
                del self._changed[account_id]
                self._emit(account_id, self._position(account_id, changed, balances))
                told += 1
        for (partition, offset), deposit in list(self._deposits.items()):
            if balances.read_to.get(partition, 0) > offset:
                del self._deposits[partition, offset]
                if (partition, offset) in balances.applied:  # else its id had been used before
                    self._emit(deposit.account_id, self._update(deposit))
                told += 1
        return told

    def _position(self, account_id: int, changed: _Changed, balances: Balances) -> dict[str, Any]:
        rows = []
        for name in changed.assets:
            asset = self._instruments.assets[name]
            free, locked = balances.wallets.get((account_id, name), (0, 0))
            rows.append({"a": name, "f": asset.text(free), "l": asset.text(locked)})
        return {
            "e": "outboundAccountPosition",
            "E": self._now_ns() // NS_PER_MS,
            "u": changed.at_ns // NS_PER_MS,
            "B": rows,
        }

    def _update(self, deposit: FundsDeposited) -> dict[str, Any]:
        return {
            "e": "balanceUpdate",
            "E": self._now_ns() // NS_PER_MS,
            "a": deposit.asset,
            "d": self._instruments.assets[deposit.asset].text(deposit.amount_minor),
            "T": deposit.occurred_at_ns // NS_PER_MS,
        }


def reached(settled: Mapping[str, tuple[int, int]], needed: Settled) -> bool:
    """Return whether every symbol is settled as far as is needed."""
    for symbol, (sequence, trade_id) in needed.items():
        have = settled.get(symbol, (0, 0))
        if have[0] < sequence or have[1] < trade_id:
            return False
    return True
