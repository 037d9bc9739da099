"""What clients were told, held against what is stored (I3, I11).

A journal is a file of JSON lines, one for each request that was sent, written when its answer came or was
given up:

    {"client_order_id": "a-1", "account_id": 1001, "symbol": "BTCUSDT", "status_code": 200, "order_id": 1025}

`status_code` is HTTP's; 0 says that no answer came (time-out, the connection went away). `order_id` is that
of a 2xx answer. `kind` is `place` (the default: one new order) or `cancel`; of a cancel `client_order_id` is
its own id. Other fields are ignored. A client order id stands for one order in the whole journal: a retry,
with the same terms and within 60 s, is one more line with the same id.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import psycopg

from tapehouse.audit.difference import differs

NO_ANSWER = 0
Kind = Literal["place", "cancel"]
_PIECE = 2_000
_ORDERS = (
    "SELECT k.i, count(o.order_id), min(o.order_id), max(o.order_id)"
    " FROM unnest(%s::bigint[], %s::text[], %s::text[]) WITH ORDINALITY k(a, s, c, i)"
    " LEFT JOIN orders o ON o.account_id = k.a AND o.symbol = k.s AND o.client_order_id = k.c GROUP BY k.i"
)


class Told(msgspec.Struct, frozen=True):
    """One answer, or none."""

    client_order_id: str
    account_id: int
    symbol: str
    status_code: int
    order_id: int | None = None
    kind: Kind = "place"

    @property
    def acknowledged(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def refused(self) -> bool:
        return 400 <= self.status_code < 500


_decode = msgspec.json.Decoder(Told).decode


def lines_of(file: Path) -> Iterator[tuple[int, Told]]:
    """Yield (line number, answer)."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, _decode(line)


def check_journal(connection: psycopg.Connection, file: Path) -> int:
    """Return how many 2xx answers were checked: each order is stored once, under the id it was told."""
    checked = 0
    for piece in _pieces(file):
        names = ("account_id", "symbol", "client_order_id")
        columns = [[getattr(told, name) for _, told in piece] for name in names]
        rows = {r[0]: r for r in connection.execute(_ORDERS, columns)}
        for place, (number, told) in enumerate(piece, start=1):
            _, count, lowest, highest = rows[place]
            told_id = told.order_id
            once = count == 1 or (count > 1 and told_id is not None and lowest <= told_id <= highest)
            if not once or (count == 1 and told_id not in (None, lowest)):
                differs(
                    "I3",
                    f"{file.name} line {number}: account {told.account_id} {told.symbol}"
                    f" {told.client_order_id!r} was acknowledged as {told_id};"
                    f" orders has {count}, id {lowest}",
                )
        checked += len(piece)
    return checked


def _pieces(file: Path) -> Iterator[list[tuple[int, Told]]]:
    """Yield acknowledged orders with their line numbers."""
    piece: list[tuple[int, Told]] = []
    for number, told in lines_of(file):
        if told.acknowledged and told.kind == "place":
            piece.append((number, told))
        if len(piece) == _PIECE:
            yield piece
            piece = []
    if piece:
        yield piece
