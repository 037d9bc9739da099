"""Checks of the database against itself: conservation and double entry (I1, I2), and ledger references."""

from __future__ import annotations

from typing import Any

import psycopg

from tapehouse.audit.balances import OUTSIDE, WalletKey
from tapehouse.audit.difference import differs

_TOTALS = (
    "SELECT asset, sum(available + locked) FROM wallets GROUP BY asset HAVING sum(available + locked) <> 0"
)
_NEGATIVE = (
    "SELECT account_id, asset, available, locked FROM wallets"
    " WHERE locked < 0 OR (available < 0 AND account_id <> %s) LIMIT 1"
)
_DEPOSITS = (
    "SELECT asset, coalesce(d.total, 0), coalesce(w.total, 0) FROM"
    " (SELECT asset, sum(amount_minor) total FROM deposits GROUP BY asset) d FULL JOIN"
    " (SELECT asset, sum(available + locked) total FROM wallets WHERE account_id <> %s GROUP BY asset) w"
    " USING (asset) WHERE coalesce(d.total, 0) <> coalesce(w.total, 0) LIMIT 1"
)
_UNBALANCED = (
    "SELECT source::text, source_partition, source_offset, asset,"
    " sum(available_delta::numeric + locked_delta)"
    " FROM ledger GROUP BY source, source_partition, source_offset, asset"
    " HAVING sum(available_delta::numeric + locked_delta) <> 0 ORDER BY 1, 2, 3 LIMIT 1"
)
_WALLETS = (
    "SELECT account_id, asset, w.available, w.locked, coalesce(j.available, 0), coalesce(j.locked, 0) FROM"
    " (SELECT account_id, asset, sum(available_delta) available, sum(locked_delta) locked FROM ledger"
    " GROUP BY 1, 2) j FULL JOIN wallets w USING (account_id, asset)"
    " WHERE w.available IS DISTINCT FROM coalesce(j.available, 0)"
    " OR w.locked IS DISTINCT FROM coalesce(j.locked, 0) ORDER BY 1, 2 LIMIT 1"
)
_UNREFERENCED = (
    "SELECT coalesce(l.symbol, t.symbol), reference, t.trade_id FROM"
    " (SELECT DISTINCT symbol, reference FROM ledger WHERE source = 'T') l"
    " FULL JOIN trades t ON t.symbol = l.symbol AND t.trade_id = l.reference"
    " WHERE l.reference IS NULL OR t.trade_id IS NULL LIMIT 1"
)


def check_conservation(connection: psycopg.Connection) -> str:
    """I1 in the database: nothing is made, lost or negative, and clients hold what was deposited."""
    if (row := _first(connection, _TOTALS)) is not None:
        differs("I1", f"table wallets: {row[0]} of all accounts sums to {row[1]}, not 0")
    if (row := _first(connection, _NEGATIVE, OUTSIDE)) is not None:
        differs("I1", f"table wallets: account {row[0]} {row[1]} has available {row[2]}, locked {row[3]}")
    if (row := _first(connection, _DEPOSITS, OUTSIDE)) is not None:
        differs("I1", f"table deposits: {row[1]} {row[0]} came in, accounts hold {row[2]}")
    count = _first(connection, "SELECT count(*), count(DISTINCT asset) FROM wallets")
    return f"{count[0]} wallets in {count[1]} assets" if count else ""


def check_double_entry(connection: psycopg.Connection) -> str:
    """I2: each record's entries sum to zero per asset, each wallet is the sum of its entries."""
    if (row := _first(connection, _UNBALANCED)) is not None:
        differs(
            "I2",
            f"table ledger: source {row[0]} partition {row[1]} offset {row[2]}: {row[3]} sums to {row[4]}",
        )
    if (row := _first(connection, _WALLETS)) is not None:
        differs(
            "I2",
            f"table wallets: account {row[0]} {row[1]} has available {row[2]}, locked {row[3]};"
            f" its ledger says {row[4]}, {row[5]}",
        )
    count = _first(connection, "SELECT count(*) FROM ledger")
    return f"{count[0]} ledger entries" if count else ""


def check_references(connection: psycopg.Connection) -> None:
    """I4 within the database: trades and the ledger's references to trades are the same set."""
    if (row := _first(connection, _UNREFERENCED)) is not None:
        differs(
            "I4",
            f"table ledger: trade {row[0]} {row[1] if row[1] is not None else row[2]} is not in both"
            " trades and ledger",
        )


def check_wallets(connection: psycopg.Connection, rebuilt: dict[WalletKey, tuple[int, int]]) -> str:
    """I1 against the log: every wallet equals what the topics alone say."""
    rows = connection.execute("SELECT account_id, asset, available, locked FROM wallets").fetchall()
    stored = {(r[0], r[1]): (r[2], r[3]) for r in rows if (r[2], r[3]) != (0, 0)}
    for key in sorted(stored.keys() | rebuilt.keys()):
        if stored.get(key, (0, 0)) != rebuilt.get(key, (0, 0)):
            differs(
                "I1",
                f"table wallets: account {key[0]} {key[1]} has (available, locked) {stored.get(key, (0, 0))},"
                f" the topics say {rebuilt.get(key, (0, 0))}",
            )
    return f"{len(rebuilt)} balances equal those of the topics"


def _first(connection: psycopg.Connection, query: str, *args: Any) -> tuple[Any, ...] | None:
    return connection.execute(query.encode(), args or None).fetchone()
