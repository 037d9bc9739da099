"""The processor's side of Postgres: one transaction a batch, two round trips.

Rows of `wallets` are locked in (account, asset) order here and in the recorder, so that the two cannot
deadlock. Statements are set based, prepared once, and planned for index look-ups whatever the
statistics say: tables grow from empty to large while a plan is cached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import psycopg

from processor import statements as sql
from processor.ledger import WalletKey
from processor.open_counts import Pair
from processor.order_rows import AcceptedOrder, list_columns, order_columns
from processor.outcomes import Outcome
from processor.questions import Questions
from processor.view import Account, Counted, CountKey, KnownList, KnownOrder, ListKey, stored_terms
from schemas.commands import EnterOrderList
from schemas.events import RequestRejected
from schemas.instruments import Instruments
from schemas.orders import Side
from schemas.topics import ORDER_REQUESTS
from service_runtime.errors import Fenced
from service_runtime.failpoints import Failpoint, reach
from service_runtime.postgres import faults
from service_runtime.round_trip import Call, Parameter, RoundTrips
from service_runtime.sql_arrays import byteas, ints, texts


class Position(msgspec.Struct, frozen=True):
    next_offset: int
    last_batch: bytes | None


class Answers(msgspec.Struct, frozen=True):
    accounts: dict[int, Account]
    available: dict[WalletKey, int]
    named: list[KnownOrder]
    """Of each client order id the open orders and the newest one."""
    orders: dict[int, KnownOrder]
    open_counts: dict[Pair, int]
    last_prices: dict[str, int]
    counts: dict[CountKey, int]
    lists: dict[int, KnownList]
    newest_lists: dict[ListKey, KnownList]
    positions_held: dict[Pair, int] = {}


class Moved(msgspec.Struct, frozen=True):
    """Where one partition goes, and what it will have emitted."""

    expected: int
    next_offset: int
    batch: bytes


class Store:
    """One connection. Any failure of it ends the process: DependencyLost, Fenced or InvariantBroken."""

    def __init__(self, connection: psycopg.Connection, instruments: Instruments) -> None:
        self._connection = connection
        self._trips = RoundTrips(connection)
        self._instruments = instruments
        with faults():
            connection.execute(sql.SESSION, prepare=False)
            connection.commit()

    def close(self) -> None:
        self._connection.close()

    def positions(self, partitions: Sequence[int]) -> dict[int, Position]:
        """Return where each partition stands; on first use it stands at 0, the log's beginning."""
        with faults():
            self._connection.execute(sql.CREATE_POSITIONS, (ORDER_REQUESTS, ints(partitions)))
            found = self._connection.execute(
                sql.READ_POSITIONS, (ORDER_REQUESTS, ints(partitions))
            ).fetchall()
            self._connection.commit()
        return {partition: Position(offset, batch) for partition, offset, batch in found}

    def read(self, ask: Questions) -> Answers:
        """Open the transaction: lock positions and wallets, read the rest. One round trip.

        Raises Fenced when a position is not where it must be.
        """
        asked: dict[str, Sequence[Parameter]] = {
            sql.LOCK_POSITIONS: (ORDER_REQUESTS, ints(ask.positions)),
            sql.LOCK_WALLETS: _columns(ask.wallets, ints, texts),
            sql.ACCOUNTS: (ints(ask.accounts),),
        }
        if ask.symbols:
            asked[sql.LAST_PRICES] = (texts(ask.symbols),)
        if ask.client_keys:
            asked[sql.NAMED_ORDERS] = _columns(ask.client_keys, ints, texts, texts)
        if ask.order_ids:
            asked[sql.ORDERS_BY_ID] = (ints(ask.order_ids),)
        if ask.open_counts:
            asked[sql.OPEN_COUNTS] = _columns(ask.open_counts, ints, texts)
        if ask.counts:
            asked[sql.KIND_COUNTS] = _columns(ask.counts, ints, texts, texts)
        if ask.positions_held:
            asked[sql.POSITIONS] = self._position_columns(ask)
        if ask.list_ids:
            asked[sql.LISTS_BY_ID] = (ints(ask.list_ids),)
        if ask.list_keys:
            asked[sql.NEWEST_LISTS] = _columns(ask.list_keys, ints, texts)
        with faults():
            done = self._trips.run([Call(statement, given) for statement, given in asked.items()])
        found = {statement: one.rows for statement, one in zip(asked, done, strict=True)}
        self._check_positions(dict(found[sql.LOCK_POSITIONS]), ask.positions)
        return _answers(found)

    def _position_columns(self, ask: Questions) -> tuple[str, ...]:
        of = [self._instruments.symbols[symbol] for _, symbol in ask.positions_held]
        return (
            *_columns(ask.positions_held, ints, texts),
            texts([i.base.name for i in of]),
            ints([i.lot_minor for i in of]),
            ints([i.tick_lot_minor for i in of]),
        )

    def write(
        self,
        outcomes: Sequence[Outcome],
        accepted: Sequence[AcceptedOrder],
        locked: Mapping[WalletKey, int],
        moved: Mapping[int, Moved],
    ) -> None:
        """Write everything the batch decided and commit. One round trip."""
        lists = [o for o in outcomes if isinstance(o, EnterOrderList)]
        rejected = [o for o in outcomes if isinstance(o, RequestRejected)]
        calls = []
        if locked:
            columns = _columns(list(locked), ints, texts)
            calls.append(Call(sql.MOVE_WALLETS, (*columns, ints(locked.values()))))
        if accepted:
            calls.append(Call(sql.INSERT_ORDERS, order_columns(accepted, self._instruments)))
        if lists:
            calls.append(Call(sql.INSERT_LISTS, list_columns(lists)))
        if rejected:
            calls.append(Call(sql.INSERT_REJECTIONS, _rejection_columns(rejected)))
        calls.append(Call(sql.MOVE_POSITIONS, _moved_columns(moved)))
        reach(Failpoint.PROCESSOR_BEFORE_COMMIT)
        with faults():
            self._trips.run(calls, commit=True)
        reach(Failpoint.PROCESSOR_AFTER_COMMIT)

    @staticmethod
    def _check_positions(found: Mapping[int, int], expected: Mapping[int, int]) -> None:
        for partition, offset in expected.items():
            if found.get(partition) != offset:
                raise Fenced(
                    f"{ORDER_REQUESTS}[{partition}]: another processor has moved on,"
                    f" expected position {offset}, found {found.get(partition)}"
                )


def _columns(rows: Sequence[tuple[object, ...]], *kinds: object) -> tuple[str, ...]:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(kinds)
    return tuple(kind(column) for kind, column in zip(kinds, columns, strict=True))  # type: ignore[operator]


def _answers(found: Mapping[str, Sequence[Any]]) -> Answers:
    """Return the rows of each statement as what they say; one that was not asked has none."""

    def rows(statement: str) -> Sequence[Any]:
        return found.get(statement, ())

    lists = [KnownList(*row) for row in rows(sql.LISTS_BY_ID)]
    newest_lists = [KnownList(*row) for row in rows(sql.NEWEST_LISTS)]
    return Answers(
        accounts={a: Account(active, maker, taker) for a, active, maker, taker in rows(sql.ACCOUNTS)},
        available={(account, asset): available for account, asset, available in rows(sql.LOCK_WALLETS)},
        named=[_known(row) for row in rows(sql.NAMED_ORDERS)],
        orders={order.order_id: order for order in map(_known, rows(sql.ORDERS_BY_ID))},
        open_counts={(account, symbol): n for account, symbol, n in rows(sql.OPEN_COUNTS)},
        last_prices=dict(rows(sql.LAST_PRICES)),
        counts={(account, symbol, Counted(kind)): n for account, symbol, kind, n in rows(sql.KIND_COUNTS)},
        lists={one.list_id: one for one in lists},
        newest_lists={(one.account_id, one.client_order_id): one for one in newest_lists},
        positions_held={(account, symbol): amount for account, symbol, amount in rows(sql.POSITIONS)},
    )


def _moved_columns(moved: Mapping[int, Moved]) -> tuple[Parameter, ...]:
    rows = list(moved.values())
    return (
        ints(moved),
        ints(m.expected for m in rows),
        ints(m.next_offset for m in rows),
        byteas([m.batch for m in rows]),
        ORDER_REQUESTS,
    )


def _known(row: Sequence[Any]) -> KnownOrder:
    (order_id, account_id, symbol, client_order_id, side, kind, tif, price, quantity, budget, *more) = row
    at_ns, is_open, stop_price, trailing_delta, display, gone_lots, amends = more
    return KnownOrder(
        order_id,
        account_id,
        symbol,
        client_order_id,
        stored_terms(side, kind, tif, price, quantity, budget, stop_price, trailing_delta, display),
        at_ns,
        is_open,
        Side(side),
        price,
        (quantity or 0) - gone_lots,
        amends,
    )


def _rejection_columns(rejected: Sequence[RequestRejected]) -> tuple[str, ...]:
    return (
        ints([r.source_partition for r in rejected]),
        ints([r.source_offset for r in rejected]),
        ints([r.account_id for r in rejected]),
        texts([r.symbol for r in rejected]),
        texts([r.client_order_id for r in rejected]),
        texts([r.reason for r in rejected]),
        ints([r.occurred_at_ns for r in rejected]),
    )
