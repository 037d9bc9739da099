"""Follows the accounts that somebody listens to, and makes of the log what they are told.

An account is followed from a place in the log: its open orders are read from Postgres once that is not
behind what was read here, and what was read meanwhile is told after.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import orjson
import structlog

from ingest.read_pool import ReadsAway
from ingest.user_data.balance_desk import BalanceDesk, reached
from ingest.user_data.execution_reports import AccountOrders, UnknownOrder, accounts_of
from ingest.user_data.feed_reads import OpenOrders, Settled
from schemas.events import CommandMatched, FundsDeposited, OrdersTraded
from schemas.instruments import Instruments

_log = structlog.get_logger("user_data")
_PAUSE_S: Final = 0.002
_LONGEST_PAUSE_S: Final = 0.1


class OrderReads(Protocol):
    """What is asked of `feed_reads.FeedReads`. Raises ReadsAway."""

    async def open_orders(self, account_id: int) -> OpenOrders: ...


class Listener(Protocol):
    """Who is told. `feed_server.FeedServer` hands it on to the workers."""

    def following(self, account_id: int) -> None: ...

    def event(self, account_id: int, body: bytes) -> None: ...

    def lost(self, account_id: int) -> None: ...


@dataclass(slots=True)
class _Followed:
    orders: AccountOrders
    held: list[CommandMatched] | None = field(default_factory=list)
    """Records to be told when the open orders are there; None: it is told at once."""
    loading: asyncio.Task[None] | None = None


class AccountFeed:
    """Every method is called on the loop."""

    def __init__(self, instruments: Instruments, reads: OrderReads, listener: Listener) -> None:
        self._instruments = instruments
        self._reads = reads
        self._listener = listener
        self._accounts: dict[int, _Followed] = {}
        self.seen: Settled = {}
        """How far each symbol was read."""
        self.balances: BalanceDesk | None = None

    def __len__(self) -> int:
        return len(self._accounts)

    def follow(self, account_id: int) -> None:
        """Follow an account; the listener hears `following` when its events come."""
        known = self._accounts.get(account_id)
        if known is not None:
            if known.held is None:
                self._listener.following(account_id)
            return
        followed = _Followed(AccountOrders(account_id, self._instruments))
        self._accounts[account_id] = followed
        followed.loading = asyncio.get_running_loop().create_task(self._load(account_id, followed))

    def forget(self, account_id: int) -> None:
        followed = self._accounts.pop(account_id, None)
        if followed is not None and followed.loading is not None and followed.held is not None:
            followed.loading.cancel()
        if self.balances is not None:
            self.balances.forget(account_id)

    def matched(self, record: CommandMatched) -> None:
        self.seen[record.symbol] = (record.sequence, record.last_trade_id)
        if not self._accounts:
            return
        for account_id in accounts_of(record) & self._accounts.keys():
            followed = self._accounts[account_id]
            if followed.held is not None:
                followed.held.append(record)
            else:
                self._tell(account_id, followed, record)

    def deposited(self, deposit: FundsDeposited, partition: int, offset: int) -> None:
        if deposit.account_id in self._accounts and self.balances is not None:
            self.balances.deposited(deposit, partition, offset)

    def tell(self, account_id: int, event: dict[str, Any]) -> None:
        """Hand on an event that was not made of a record: a balance."""
        if account_id in self._accounts:
            self._listener.event(account_id, orjson.dumps(event))

    def _tell(self, account_id: int, followed: _Followed, record: CommandMatched) -> None:
        try:
            events = followed.orders.take(record)
        except UnknownOrder as unknown:
            _log.error("account lost", error=str(unknown), sequence=record.sequence)
            self.forget(account_id)
            self._listener.lost(account_id)
            return
        for event in events:
            self._listener.event(account_id, orjson.dumps(event))
        if self.balances is not None:
            self.balances.matched(account_id, record)

    async def _load(self, account_id: int, followed: _Followed) -> None:
        try:
            await self._begin(account_id, followed)
        except Exception:
            _log.exception("account cannot be followed", account_id=account_id)
            self.forget(account_id)
            self._listener.lost(account_id)

    async def _begin(self, account_id: int, followed: _Followed) -> None:
        found = await self._open_orders(account_id, dict(self.seen))
        pause_s = _PAUSE_S
        while not self._has_read(found.reaches):  # Postgres may be ahead of what was read here
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        orders = followed.orders
        orders.orders = {order.order_id: order for order in found.orders}
        orders.lists = found.lists
        held, followed.held = followed.held or [], None
        even_out(orders, held, found.settled)
        self._listener.following(account_id)
        for record in held:
            if record.sequence > found.settled.get(record.symbol, (0, 0))[0]:
                if account_id not in self._accounts:
                    return
                self._tell(account_id, followed, record)

    def _has_read(self, reaches: dict[str, int]) -> bool:
        return all(self.seen.get(symbol, (0, 0))[0] >= sequence for symbol, sequence in reaches.items())

    async def _open_orders(self, account_id: int, seen: Settled) -> OpenOrders:
        """Return the account's open orders, not older than what was read here."""
        pause_s = _PAUSE_S
        while True:
            try:
                found = await self._reads.open_orders(account_id)
                if reached(found.settled, seen):
                    return found
            except ReadsAway as away:
                _log.warning("open orders cannot be read now", error=str(away))
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def even_out(orders: AccountOrders, held: list[CommandMatched], settled: Settled) -> None:
    """Bring orders to the settled sequence of each symbol: their trades may be settled to another place."""
    for record in held:
        sequence, trade_id = settled.get(record.symbol, (0, 0))
        behind = record.sequence <= sequence
        for event in record.events:
            if type(event) is OrdersTraded and behind is (event.trade_id > trade_id):
                orders.count(event, 1 if behind else -1)
