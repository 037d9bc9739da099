"""I11: what became of requests whose answer was lost, from the log's own requests.

A request that was answered 5xx, or not at all, is afterwards exactly one of accepted, rejected, never seen;
one that was acknowledged is there, once, and one that was refused made no order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psycopg

from schemas.topics import ORDER_REQUESTS, TopicMap, order_id_of
from service_runtime.event_log import EventLog, TopicPartition
from tapehouse.audit.difference import differs
from tapehouse.audit.journal import Kind, Told, lines_of

_PIECE = 5_000
_TYPES: dict[str, Kind] = {"PlaceOrder.v1": "place", "ReplaceOrder.v1": "place", "CancelOrder.v1": "cancel"}
_ORDERS = "SELECT order_id, ended FROM orders WHERE order_id = ANY(%s)"
_REJECTIONS = (
    "SELECT source_partition, source_offset FROM unnest(%s::int[], %s::bigint[])"
    " k(source_partition, source_offset) JOIN rejections USING (source_partition, source_offset)"
)
_Key = tuple[Kind, int, str, str]


class _Placed(msgspec.Struct, frozen=True, gc=False):
    client_order_id: str = ""


class _Seen(msgspec.Struct, frozen=True, gc=False):
    """As much of a request as is needed to know it again."""

    type: str
    account_id: int
    symbol: str
    client_order_id: str = ""
    order: _Placed | None = None
    """The order that a replacement places; `client_order_id` is then that of its cancel."""

    @property
    def journaled_id(self) -> str:
        return self.client_order_id if self.order is None else self.order.client_order_id


_decode = msgspec.json.Decoder(_Seen).decode


@dataclass(slots=True)
class _Sent:
    """Everything a client heard of one client order id, and where its requests are."""

    line: int
    acknowledged: bool = False
    refused: bool = True
    """No answer was anything but a refusal."""
    order_id: int | None = None
    places: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Outcome:
    acknowledged: int = 0
    accepted: int = 0
    """The same below: of those whose answer was lost."""
    rejected: int = 0
    never_seen: int = 0

    def __str__(self) -> str:
        unknown = self.accepted + self.rejected + self.never_seen
        return (
            f"{self.acknowledged} acknowledged, {unknown} unknown: {self.accepted} accepted,"
            f" {self.rejected} rejected, {self.never_seen} never seen"
        )


def check_unknown(
    connection: psycopg.Connection,
    log: EventLog,
    topics: TopicMap,
    requested: dict[int, int],
    file: Path,
    progress: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """`requested`: how far the database knows `order-requests`, by partition. Raises Difference."""
    sent = _sent(file)
    for partition in range(topics.topics[ORDER_REQUESTS].partitions):
        source = TopicPartition(ORDER_REQUESTS, partition)
        for batch in log.read(source, 0, requested.get(partition, 0)):
            progress(len(batch))
            for record in batch:
                try:
                    seen = _decode(record.value)
                except msgspec.DecodeError:
                    continue  # poison: nobody's request
                kind = _TYPES.get(seen.type)
                known = kind and sent.get((kind, seen.account_id, seen.symbol, seen.journaled_id))
                if known:
                    known.places.append((partition, record.offset))
    outcome = Outcome()
    for piece in _pieces(list(sent.items())):
        _judge(connection, file.name, piece, outcome)
    return outcome


def _sent(file: Path) -> dict[_Key, _Sent]:
    found: dict[_Key, _Sent] = {}
    for number, told in lines_of(file):
        key = (told.kind, told.account_id, told.symbol, told.client_order_id)
        known = found.setdefault(key, _Sent(number))
        _hear(known, told, number)
    return found


def _hear(known: _Sent, told: Told, number: int) -> None:
    if told.acknowledged:
        known.acknowledged, known.line = True, number
        known.order_id = told.order_id or known.order_id
    known.refused = known.refused and told.refused


def _judge(
    connection: psycopg.Connection, file: str, piece: Sequence[tuple[_Key, _Sent]], outcome: Outcome
) -> None:
    places = [place for _, sent in piece for place in sent.places]
    ids = [order_id_of(*place) for place in places]
    orders: dict[int, str | None] = dict(connection.execute(_ORDERS, (ids,)).fetchall())
    columns = ([p for p, _ in places], [o for _, o in places])
    rejected = set(connection.execute(_REJECTIONS, columns).fetchall())
    for key, sent in piece:
        where = f"{file} line {sent.line}: {key[0]} of account {key[1]} {key[2]} {key[3]!r}"
        made = [order_id_of(*p) for p in sent.places if order_id_of(*p) in orders]
        if key[0] == "cancel":
            passed = [p for p in sent.places if p not in rejected]
        else:
            passed = [p for p in sent.places if order_id_of(*p) in orders]
        for place in sent.places:
            if key[0] == "place" and (place in passed) is (place in rejected):
                either = (
                    "both accepted and rejected" if place in rejected else "neither accepted nor rejected"
                )
                differs("I11", f"{where}: {ORDER_REQUESTS}[{place[0]}] offset {place[1]} is {either}")
        if len(made) > 1:
            differs("I11", f"{where} made {len(made)} orders: {made}")
        if sent.acknowledged:
            _check_acknowledged(where, sent, bool(passed), made)
            outcome.acknowledged += 1
        elif sent.refused:
            if any(orders[order_id] != "REJECTED" for order_id in made):
                differs("I11", f"{where} was refused, and made order {made[0]}")
        elif passed:
            outcome.accepted += 1
        elif sent.places:
            outcome.rejected += 1
        else:
            outcome.never_seen += 1


def _check_acknowledged(where: str, sent: _Sent, passed: bool, made: list[int]) -> None:
    if not passed:
        state = "was rejected" if sent.places else "is not in the log"
        differs("I11", f"{where} was acknowledged, and {state}")
    if made and sent.order_id not in (None, made[0]):
        differs("I11", f"{where} was acknowledged as {sent.order_id}, and made order {made[0]}")


def _pieces(rows: list[tuple[_Key, _Sent]]) -> Iterator[list[tuple[_Key, _Sent]]]:
    for start in range(0, len(rows), _PIECE):
        yield rows[start : start + _PIECE]
