"""The recorder's side of Postgres: one transaction a batch, its positions in the same.

Rows of `wallets` are locked in (account, asset) order here and in the processor, so that the two cannot
deadlock. Statements are set based, prepared once, and planned for index look-ups whatever the
statistics say: tables grow from empty to large while a plan is cached.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import psycopg

from recorder import statements as sql
from recorder.columns import (
    account_columns,
    amendment_columns,
    columns_of,
    deposit_columns,
    ended_list_columns,
    order_columns,
    prevented_columns,
    refused_list_columns,
    settled_columns,
    terms_columns,
    trade_row,
)
from recorder.journal import Leg
from recorder.order_changes import OrderChanges
from recorder.settlement import Settlement, WalletKey, first_overdrawn
from schemas.accounts import OUTSIDE_ACCOUNT
from schemas.events import AccountOpened, FundsDeposited
from service_runtime.errors import Fenced, InvariantBroken
from service_runtime.event_log import TopicPartition
from service_runtime.failpoints import Failpoint, reach
from service_runtime.postgres import faults
from service_runtime.round_trip import Call, Parameter, RoundTrips
from service_runtime.sequence import MatchedPosition
from service_runtime.sql_arrays import ints, texts


class Moved(msgspec.Struct, frozen=True):
    expected: int
    next_offset: int


class AccountFacts(msgspec.Struct, frozen=True):
    """What decides whether a deposit moves money."""

    accounts: set[int]
    deposits: set[str]
    """Ids that were used before this batch."""
    outside: dict[str, int]
    """asset -> balance of the outside account, its row locked."""


class _Step(NamedTuple):
    """One statement of a batch, and how many rows of what it must move."""

    statement: str
    columns: Sequence[Parameter]
    what: str = ""
    expected: int | None = None

    @property
    def call(self) -> Call:
        return Call(self.statement, self.columns)


class Store:
    """One connection. Any failure of it ends the process: DependencyLost, Fenced or InvariantBroken."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._trips = RoundTrips(connection)
        self._wallets: set[WalletKey] = set()
        with faults():
            connection.execute(sql.SESSION, prepare=False)
            connection.commit()

    def close(self) -> None:
        self._connection.close()

    def positions(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where each partition stands; on first use it stands at 0, the log's beginning."""
        with faults():
            self._connection.execute(
                sql.CREATE_POSITIONS,
                (texts(s.topic for s in partitions), ints(s.partition for s in partitions)),
            )
            rows = self._connection.execute(sql.READ_POSITIONS).fetchall()
            self._connection.commit()
        return {TopicPartition(topic, partition): offset for topic, partition, offset in rows}

    def settled(self, symbols: Iterable[str]) -> tuple[dict[str, MatchedPosition], dict[str, int]]:
        """Return where the readers' checks start: `matched-events` and `trade-execution`, by symbol."""
        with faults():
            self._connection.execute(sql.CREATE_SETTLED, (texts(symbols),))
            rows = self._connection.execute(sql.READ_SETTLED).fetchall()
            self._connection.commit()
        return {r[0]: MatchedPosition(r[1], r[2]) for r in rows}, {r[0]: r[3] for r in rows}

    def accounts_paying_themselves(self) -> set[int]:
        """Return the accounts that ever placed an OPO or OPOCO list."""
        with faults():
            rows = self._connection.execute(sql.PAYING_THEMSELVES).fetchall()
            self._connection.commit()
        return {account_id for (account_id,) in rows}

    def open_accounts(
        self, opened: Sequence[AccountOpened], deposits: Sequence[FundsDeposited]
    ) -> AccountFacts:
        """Insert accounts that are not there yet, and read what deposits depend on. Opens the transaction."""
        assets = sorted({d.asset for d in deposits})
        calls = [
            Call(sql.KNOWN_ACCOUNTS, (ints({d.account_id for d in deposits}),)),
            Call(sql.KNOWN_DEPOSITS, (texts({d.deposit_id for d in deposits}),)),
            Call(sql.CREATE_WALLETS, (ints([OUTSIDE_ACCOUNT] * len(assets)), texts(assets))),
            Call(sql.OUTSIDE, (str(OUTSIDE_ACCOUNT), texts(assets))),
        ]
        if opened:
            calls.insert(0, Call(sql.OPEN_ACCOUNTS, account_columns(opened)))
        with faults():
            accounts, used, _, outside = self._trips.run(calls)[-4:]
        return AccountFacts({r[0] for r in accounts.rows}, {r[0] for r in used.rows}, dict(outside.rows))

    def reservations(self, requests: Sequence[tuple[int, int]]) -> dict[tuple[int, int], list[Leg]]:
        """Return what the processor booked for each (partition, offset) of `order-requests`."""
        with faults():
            rows = self._connection.execute(sql.RESERVATIONS, columns_of(requests, ints, ints)).fetchall()
        found: dict[tuple[int, int], list[Leg]] = {}
        for partition, offset, *leg in rows:
            found.setdefault((partition, offset), []).append(Leg(*leg))
        return found

    def write(
        self,
        settlement: Settlement,
        deposits: Sequence[FundsDeposited],
        moved: Mapping[TopicPartition, Moved],
    ) -> None:
        """Write what the batch did and commit; nothing stays when anything is not as it must be."""
        steps = self._steps(settlement, deposits, moved)
        try:
            with faults():
                done = self._trips.run([step.call for step in steps])
        except InvariantBroken as error:
            raise self._explained(error, settlement, moved) from error
        for step, found in zip(steps, done, strict=True):
            if step.expected is not None and found.affected != step.expected:
                self._connection.rollback()
                fault = Fenced if step.what == "positions" else InvariantBroken
                raise fault(
                    f"recorder: {found.affected} of {step.expected} {step.what} moved, {_where(moved)}"
                )
        reach(Failpoint.RECORDER_BEFORE_COPY)
        with faults():
            self._copy(sql.COPY_LEDGER, settlement.ledger)
            self._copy(sql.COPY_TRADES, [trade_row(trade) for trade in settlement.trades])
            reach(Failpoint.RECORDER_BEFORE_COMMIT)
            self._connection.commit()
        reach(Failpoint.RECORDER_AFTER_COMMIT)
        self._wallets.update(settlement.wallets)

    def _steps(
        self,
        settlement: Settlement,
        deposits: Sequence[FundsDeposited],
        moved: Mapping[TopicPartition, Moved],
    ) -> list[_Step]:
        steps = [_Step(sql.MOVE_POSITIONS, _position_columns(moved), "positions", len(moved))]
        if deposits:
            steps.append(_Step(sql.INSERT_DEPOSITS, deposit_columns(deposits), "deposits", len(deposits)))
        if settlement.wallets:
            keys = sorted(settlement.wallets)
            new = [key for key in keys if key not in self._wallets]
            if new:
                steps.append(_Step(sql.CREATE_WALLETS, columns_of(new, ints, texts)))
            wallets = columns_of(keys, ints, texts)
            steps.append(_Step(sql.LOCK_WALLETS, wallets))
            deltas = columns_of([settlement.wallets[key] for key in keys], ints, ints)
            steps.append(_Step(sql.MOVE_WALLETS, wallets + deltas, "wallets", len(keys)))
        steps += _order_steps(settlement.changes)
        if settlement.settled:
            steps.append(_Step(sql.MOVE_SETTLED, settled_columns(settlement)))
        return steps

    def _copy(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows; no text in them has a tab, a line end or a backslash."""
        if rows:
            lines = ["\t".join(["\\N" if v is None else str(v) for v in row]) for row in rows]
            with self._connection.cursor().copy(statement.encode()) as copy:
                copy.write("\n".join(lines) + "\n")

    def _explained(
        self, error: InvariantBroken, settlement: Settlement, moved: Mapping[TopicPartition, Moved]
    ) -> Fenced | InvariantBroken:
        """Say whether another recorder was here before, else find the record that no wallet can take."""
        with faults():
            self._connection.rollback()
            found = self._connection.execute(sql.READ_POSITIONS).fetchall()
            keys = columns_of(list(settlement.wallets), ints, texts)
            rows = self._connection.execute(sql.WALLETS, keys).fetchall()
            self._connection.rollback()
        positions = {TopicPartition(topic, partition): offset for topic, partition, offset in found}
        if any(positions.get(source) != m.expected for source, m in moved.items()):
            return Fenced(f"recorder: another one has moved on, {_where(moved)}")
        row = first_overdrawn(settlement.ledger, {(r[0], r[1]): [r[2], r[3]] for r in rows}, OUTSIDE_ACCOUNT)
        if row is None:
            return error
        return InvariantBroken(
            f"ledger source {row[0]} partition {row[1]} offset {row[2]} leg {row[3]}: account {row[4]} cannot"
            f" take available {row[6]:+d}, locked {row[7]:+d} {row[5]} ({error})"
        )


def _order_steps(changes: OrderChanges) -> list[_Step]:
    steps = []
    if changes.orders:
        steps.append(_Step(sql.MOVE_ORDERS, order_columns(changes), "orders", len(changes.orders)))
    if changes.terms:
        steps.append(_Step(sql.CHANGE_TERMS, terms_columns(changes), "terms", len(changes.terms)))
    if changes.lists:
        steps.append(_Step(sql.END_LISTS, ended_list_columns(changes), "order lists", len(changes.lists)))
        if refused := refused_list_columns(changes):
            steps.append(_Step(sql.REJECT_LEGS, refused))
    if changes.prevented:
        steps.append(_Step(sql.INSERT_PREVENTED, prevented_columns(changes)))
    if changes.amendments:
        steps.append(_Step(sql.INSERT_AMENDMENTS, amendment_columns(changes)))
    return steps


def _position_columns(moved: Mapping[TopicPartition, Moved]) -> tuple[str, ...]:
    rows = [(s.topic, s.partition, m.expected, m.next_offset) for s, m in sorted(moved.items())]
    return columns_of(rows, texts, ints, ints, ints)


def _where(moved: Mapping[TopicPartition, Moved]) -> str:
    return "batch " + ", ".join(
        f"{s.topic}[{s.partition}] {m.expected}..{m.next_offset - 1}" for s, m in sorted(moved.items())
    )
