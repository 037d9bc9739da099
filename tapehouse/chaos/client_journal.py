"""Writes every answer the fleet got as a JSON line (see `tapehouse.audit.journal`), and counts by it.

The audit proves; these counts only say how much was sent, and how much of what was acknowledged is not
there or is there twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from tapehouse.chaos.order_flow import Act

_ORDERS = (
    "SELECT k.a, k.c, count(o.order_id) FROM unnest(%s::bigint[], %s::text[], %s::text[]) k(a, s, c)"
    " LEFT JOIN orders o ON o.account_id = k.a AND o.symbol = k.s AND o.client_order_id = k.c"
    " GROUP BY 1, 2 HAVING count(o.order_id) <> 1"
)
_TRADES = (
    "SELECT k.s, k.t, count(t.trade_id) FROM unnest(%s::text[], %s::bigint[]) k(s, t)"
    " LEFT JOIN trades t ON t.symbol = k.s AND t.trade_id = k.t"
    " GROUP BY 1, 2 HAVING count(t.trade_id) <> 1"
)


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. `status_code` 0: none came in time, or the connection went away."""

    kind: str
    client_order_id: str
    account_id: int
    symbol: str
    status_code: int
    order_id: int | None = None
    code: int | None = None
    trade_ids: tuple[int, ...] = ()
    sent_ms: int = 0
    answered_ms: int = 0


@dataclass
class Told:
    """What the answers of one round come to."""

    requests: int = 0
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    """504 or no answer."""
    shed: int = 0
    """503: refused before acceptance."""
    codes: Counter[str] = field(default_factory=Counter)

    def count(self, answer: Answer) -> None:
        self.requests += 1
        status = answer.status_code
        if 200 <= status < 300:
            self.acknowledged += 1
        elif status in (0, 504):
            self.unknown += 1
        elif status == 503:
            self.shed += 1
        else:
            self.refused += 1
            self.codes[f"{status} {answer.code}"] += 1


class ClientJournal:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab")
        self._round: list[Answer] = []

    def add(self, answer: Answer) -> None:
        if self._file.closed:
            return  # the run is over: connections are being cut
        self._round.append(answer)
        self._file.write(msgspec.json.encode(answer) + b"\n")

    def flush(self) -> None:
        self._file.flush()

    def take_round(self) -> list[Answer]:
        """Return what was answered since the last call; the file is whole up to there."""
        self._file.flush()
        taken, self._round = self._round, []
        return taken

    def close(self) -> None:
        self._file.close()


def answer_of(act: Act, account_id: int, status: int, body: bytes, sent_ms: int, now_ms: int) -> Answer:
    """Read an answer; a body that is none of ours keeps its status alone."""
    said: Any = {}
    with suppress(msgspec.DecodeError):
        said = msgspec.json.decode(body) if body else {}
    order = said.get("newOrderResponse", said) if isinstance(said, dict) else {}
    order = order if isinstance(order, dict) else {}
    taken = 200 <= status < 300
    return Answer(
        kind=act.kind,
        client_order_id=act.client_order_id,
        account_id=account_id,
        symbol=act.symbol,
        status_code=status,
        order_id=order.get("orderId") if taken else None,
        code=None if taken or not isinstance(said, dict) else said.get("code"),
        trade_ids=tuple(fill["tradeId"] for fill in order.get("fills", ())) if taken else (),
        sent_ms=sent_ms,
        answered_ms=now_ms,
    )


def tally(answers: Iterable[Answer]) -> Told:
    told = Told()
    for answer in answers:
        told.count(answer)
    return told


def lost_and_doubled(dsn: str, answers: Sequence[Answer]) -> tuple[list[str], list[str]]:
    """Name the acknowledged orders and trades that the tables do not have, and those they have twice."""
    placed = [a for a in answers if a.kind == "place" and 200 <= a.status_code < 300]
    lost: list[str] = []
    doubled: list[str] = []
    with psycopg.connect(dsn, connect_timeout=5, application_name="chaos") as connection:
        keys = {(a.account_id, a.symbol, a.client_order_id) for a in placed}
        columns = [[key[n] for key in keys] for n in range(3)]
        for account, client_id, count in connection.execute(_ORDERS, columns).fetchall():
            (doubled if count else lost).append(f"order {client_id!r} of account {account}")
        fills = {(a.symbol, trade_id) for a in placed for trade_id in a.trade_ids}
        columns = [[fill[n] for fill in fills] for n in range(2)]
        for symbol, trade_id, count in connection.execute(_TRADES, columns).fetchall():
            (doubled if count else lost).append(f"trade {symbol} {trade_id}")
    return lost, doubled
