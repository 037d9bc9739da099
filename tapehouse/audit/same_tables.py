"""Two databases that must hold the same rows: the live one and the one rebuilt from the topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import psycopg

from schemas.topics import ACCOUNT_EVENTS, MATCHED_EVENTS, ORDER_REQUESTS, TRADE_EXECUTION, request_of
from tapehouse.audit.difference import differs
from tapehouse.replay.logged_decisions import NOT_RECORDED

_TOPICS = {"A": ACCOUNT_EVENTS, "R": ORDER_REQUESTS, "T": TRADE_EXECUTION, "M": MATCHED_EVENTS}
_PIECE = 5_000
_cursor_numbers = count()
Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    name: str
    key: tuple[str, ...]
    where: str = "true"
    left_out: tuple[str, ...] = ()

    def place(self, row: Row) -> str:
        """Say which record of the log the row is of, as far as the row knows."""
        if self.name == "ledger":
            source = row["source"]
            name = _TOPICS[source.decode() if isinstance(source, bytes) else source]
            return f"{name}[{row['source_partition']}] offset {row['source_offset']}"
        if self.name == "rejections":
            return f"{ORDER_REQUESTS}[{row['source_partition']}] offset {row['source_offset']}"
        if self.name in ("orders", "order_lists", "amendments"):
            partition, offset = request_of(row["list_id" if self.name == "order_lists" else "order_id"])
            return f"{ORDER_REQUESTS}[{partition}] offset {offset}"
        return "table"


_LEDGER = ("source_partition", "source_offset", "leg")
TABLES = (
    Table("accounts", ("account_id",), left_out=("status",)),
    Table("deposits", ("deposit_id",)),
    *(Table("ledger", _LEDGER, f"source = '{source}'") for source in "ARTM"),
    Table("rejections", ("source_partition", "source_offset")),
    Table("orders", ("order_id",)),
    Table("order_lists", ("list_id",)),
    Table("trades", ("symbol", "trade_id")),
    Table("prevented_matches", ("symbol", "prevented_match_id")),
    Table("amendments", ("order_id", "sequence")),
    Table("wallets", ("account_id", "asset"), "(available, locked) <> (0, 0)"),
    Table("settled", ("symbol",)),
)
"""What comes first in the log comes first here. `accounts.status` is the operator's, not the log's."""


def compare_tables(
    live: psycopg.Connection,
    rebuilt: psycopg.Connection,
    progress: Callable[[str, int], None] = lambda *_: None,
) -> dict[str, int]:
    """Return how many rows of each table are equal. Raises Difference at the first that is not."""
    counts: dict[str, int] = {}
    for table in TABLES:
        counts[table.name] = counts.get(table.name, 0) + _compare(live, rebuilt, table)
        progress(table.name, counts[table.name])
    return counts


def _compare(live: psycopg.Connection, rebuilt: psycopg.Connection, table: Table) -> int:
    columns = _columns(rebuilt, table)
    left, right = _rows(live, table, columns), _rows(rebuilt, table, columns)
    equal = 0
    while True:
        ours, theirs = next(left, None), next(right, None)
        if ours is None and theirs is None:
            return equal
        first = min((_key(table, r), n) for n, r in enumerate((ours, theirs)) if r is not None)[1]
        one_side = ours is None or theirs is None or _key(table, ours) != _key(table, theirs)
        if one_side:
            row = theirs if first else ours
            assert row is not None
            who = (
                "the topics have it, the live table has not"
                if first
                else "live, and the topics know nothing of it"
            )
            differs("rebuild", f"{table.place(row)}: {table.name} {_named(table, row)}: {who}")
        assert ours is not None
        assert theirs is not None
        _same(table, ours, theirs)
        equal += 1


def _same(table: Table, live: Row, rebuilt: Row) -> None:
    unknown = ("reason", "at_ns") if rebuilt.get("reason") == NOT_RECORDED else ()
    for column, value in rebuilt.items():
        if value != live[column] and not (table.name == "rejections" and column in unknown):
            differs(
                "rebuild",
                f"{table.place(live)}: {table.name} {_named(table, live)}: {column} is {live[column]},"
                f" the topics say {value}",
            )


def _named(table: Table, row: Row) -> str:
    return " ".join(str(row[column]) for column in table.key)


def _key(table: Table, row: Row) -> tuple[Any, ...]:
    return tuple(row[column] for column in table.key)


def _columns(connection: psycopg.Connection, table: Table) -> list[str]:
    rows = connection.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND table_name = %s ORDER BY ordinal_position",
        (table.name,),
    ).fetchall()
    return [name for (name,) in rows if name not in table.left_out]


def _rows(connection: psycopg.Connection, table: Table, columns: list[str]) -> Iterator[Row]:
    """Yield the rows in the order of the key, text by its bytes, a piece at a time."""
    kinds: dict[str, str] = dict(
        connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND table_name = %s",
            (table.name,),
        ).fetchall()
    )
    order = ", ".join(f'{c} COLLATE "C"' if kinds.get(c) == "text" else c for c in table.key)
    query = f"SELECT {', '.join(columns)} FROM {table.name} WHERE {table.where} ORDER BY {order}"
    with connection.cursor(name=f"same_{next(_cursor_numbers)}") as cursor:
        cursor.itersize = _PIECE
        for row in cursor.execute(query.encode()):
            yield dict(zip(columns, row, strict=True))
