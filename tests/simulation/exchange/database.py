"""Simulated Postgres: the rows that the two stores write, row locks, and indexes they ask by.

A store changes nothing before its commit, and a commit happens at once; so a process that dies leaves either
all of a transaction or nothing. Locks are held until the transaction ends, by a frozen process too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Protocol

from schemas.events import GENESIS_HASH
from service_runtime.errors import InvariantBroken

OUTSIDE = 1
WalletKey = tuple[int, str]
PositionKey = tuple[str, str, int]
"""service, topic, partition"""


@dataclass(slots=True)
class OrderRow:
    order_id: int
    account_id: int
    symbol: str
    client_order_id: str
    side: str
    order_type: str
    time_in_force: str
    price_ticks: int
    quantity_lots: int | None
    quote_budget_minor: int | None
    reserved_minor: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    created_at_ns: int
    updated_at_ns: int
    stop_price_ticks: int | None
    trailing_delta_bips: int | None
    display_lots: int | None
    self_trade_prevention: str
    list_id: int | None
    waits_for: str
    executed_lots: int = 0
    executed_quote_minor: int = 0
    ended: str | None = None
    end_reason: str | None = None
    working_at_ns: int | None = None
    prevented_lots: int = 0
    first_quantity_lots: int | None = None
    amends: int = 0


@dataclass(slots=True)
class ListRow:
    list_id: int
    account_id: int
    symbol: str
    kind: str
    client_order_id: str
    created_at_ns: int
    updated_at_ns: int
    ended: str | None = None
    end_reason: str | None = None


@dataclass(slots=True)
class SettledRow:
    sequence: int = 0
    last_hash: str = GENESIS_HASH
    trade_id: int = 0
    last_price_ticks: int | None = None


_order_of, _list_of, _settled_of = (
    attrgetter(*(field.name for field in fields(row))) for row in (OrderRow, ListRow, SettledRow)
)


class Session(Protocol):
    """Who may hold locks; `wait_for_lock` lets time pass."""

    def wait_for_lock(self) -> None: ...


class Database:
    """What is committed. Attributes are tables by primary key."""

    def __init__(self) -> None:
        self.positions: dict[PositionKey, list[Any]] = {}
        """[next offset, last batch]"""
        self.wallets: dict[WalletKey, list[int]] = {}
        """[available, locked]"""
        self.accounts: dict[int, tuple[str, str, int, int, int]] = {
            OUTSIDE: ("outside", "DISABLED", 0, 0, 0),
            2: ("fees", "DISABLED", 0, 0, 0),
        }
        self.deposits: dict[str, tuple[int, str, int, int]] = {}
        self.orders: dict[int, OrderRow] = {}
        self.order_lists: dict[int, ListRow] = {}
        self.rejections: dict[tuple[int, int], tuple[Any, ...]] = {}
        self.ledger: dict[tuple[str, int, int, int], tuple[Any, ...]] = {}
        self.trades: dict[tuple[str, int], tuple[Any, ...]] = {}
        self.settled: dict[str, SettledRow] = {}
        self.prevented: dict[tuple[str, int], tuple[Any, ...]] = {}
        self.amendments: dict[tuple[int, int], tuple[Any, ...]] = {}
        self.reservations: dict[tuple[int, int], list[tuple[Any, ...]]] = {}
        """Ledger rows of requests, by (partition, offset)."""
        self._named: dict[tuple[int, str, str], set[int]] = {}
        self._of_account: dict[tuple[int, str], list[OrderRow]] = {}
        self._named_lists: dict[tuple[int, str], int] = {}
        self._locks: dict[Any, Session] = {}

    # -- locks ------------------------------------------------------------------------------------

    def lock(self, session: Session, keys: Iterable[Any]) -> None:
        """Take row locks one by one; waits for who holds one."""
        for key in keys:
            while self._locks.get(key, session) is not session:
                session.wait_for_lock()
            self._locks[key] = session

    def unlock(self, session: Session) -> None:
        for key in [key for key, holder in self._locks.items() if holder is session]:
            del self._locks[key]

    # -- questions --------------------------------------------------------------------------------

    def named_orders(self, account_id: int, symbol: str, client_order_id: str) -> list[OrderRow]:
        """The open ones, and the newest."""
        found = sorted(self._named.get((account_id, symbol, client_order_id), ()))
        rows = [self.orders[order_id] for order_id in found]
        return [row for row in rows if row.ended is None or row is rows[-1]]

    def newest_list(self, account_id: int, client_order_id: str) -> ListRow | None:
        found = self._named_lists.get((account_id, client_order_id))
        return None if found is None else self.order_lists[found]

    def open_orders(self, account_id: int, symbol: str) -> list[OrderRow]:
        return [o for o in self._of_account.get((account_id, symbol), ()) if o.ended is None]

    def open_lists(self, account_id: int, symbol: str) -> int:
        return sum(
            row.ended is None and (row.account_id, row.symbol) == (account_id, symbol)
            for row in self.order_lists.values()
        )

    # -- changes, at a commit ---------------------------------------------------------------------

    def check_new(self, table: dict[Any, Any], keys: Sequence[Any], name: str) -> None:
        """Raise InvariantBroken as a unique violation would be."""
        if len(set(keys)) != len(keys) or any(key in table for key in keys):
            raise InvariantBroken(f"Postgres refused a batch: duplicate key in {name}")

    def check_wallets(self, deltas: dict[WalletKey, tuple[int, int]]) -> None:
        """Raise InvariantBroken as a CHECK would be."""
        for (account_id, asset), (available, locked) in deltas.items():
            row = self.wallets.get((account_id, asset))
            if row is None:
                continue
            left = (row[0] + available, row[1] + locked)
            if (left[0] < 0 and account_id != OUTSIDE) or left[1] < 0 or max(left) >= 2**63:
                raise InvariantBroken(
                    f"Postgres refused a batch: wallet {account_id} {asset} would be {left}"
                )

    def move_wallets(self, deltas: dict[WalletKey, tuple[int, int]]) -> int:
        """Return how many rows there were."""
        moved = 0
        for key, (available, locked) in deltas.items():
            row = self.wallets.get(key)
            if row is not None:
                row[0] += available
                row[1] += locked
                moved += 1
        return moved

    def add_order(self, row: OrderRow) -> None:
        self.orders[row.order_id] = row
        self._named.setdefault((row.account_id, row.symbol, row.client_order_id), set()).add(row.order_id)
        self._of_account.setdefault((row.account_id, row.symbol), []).append(row)

    def rename_order(self, row: OrderRow, client_order_id: str) -> None:
        self._named[row.account_id, row.symbol, row.client_order_id].discard(row.order_id)
        row.client_order_id = client_order_id
        self._named.setdefault((row.account_id, row.symbol, client_order_id), set()).add(row.order_id)

    def add_list(self, row: ListRow) -> None:
        self.order_lists[row.list_id] = row
        key = (row.account_id, row.client_order_id)
        self._named_lists[key] = max(row.list_id, self._named_lists.get(key, 0))

    # -- as a whole -------------------------------------------------------------------------------

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every table's rows in order of its key: to compare, with Postgres too."""
        return {
            "positions": sorted((*key, *row) for key, row in self.positions.items()),
            "wallets": sorted((*key, *row) for key, row in self.wallets.items()),
            "accounts": sorted((key, *row) for key, row in self.accounts.items()),
            "deposits": sorted((key, *row) for key, row in self.deposits.items()),
            "orders": [_order_of(row) for _, row in sorted(self.orders.items())],
            "order_lists": [_list_of(row) for _, row in sorted(self.order_lists.items())],
            "rejections": sorted((*key, *row) for key, row in self.rejections.items()),
            "ledger": [(*key, *row) for key, row in sorted(self.ledger.items())],
            "trades": sorted((*key, *row) for key, row in self.trades.items()),
            "settled": [(symbol, *_settled_of(row)) for symbol, row in sorted(self.settled.items())],
            "prevented_matches": sorted((*key, *row) for key, row in self.prevented.items()),
            "amendments": sorted((*key, *row) for key, row in self.amendments.items()),
        }
