"""What was sent and what came back, kept raw while the load runs and read afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from tapehouse.bench.latency import Latencies
from tapehouse.bench.order_plan import PlannedOrder
from tapehouse.bench.raw_http import UNKNOWN


@dataclass(slots=True)
class Shot:
    """One order: when it was due, when it left, when its answer came (seconds of one clock)."""

    order: PlannedOrder
    client_order_id: str
    account_id: int
    due_s: float
    measured: bool
    sent_s: float = 0.0
    answered_s: float = 0.0
    status: int = UNKNOWN
    body: bytes = b""

    @property
    def left(self) -> bool:
        """False: it was due, and no connection was free for it until the load ended."""
        return self.sent_s > 0

    @property
    def answered(self) -> bool:
        return self.status != UNKNOWN

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass(kw_only=True)
class Tally:
    """What the measured shots come to."""

    due: int = 0
    sent: int = 0
    answered: int = 0
    accepted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    """Code and message (or "unknown" for no answer) and how often."""
    trades: int = 0
    answer: Latencies = field(default_factory=Latencies)
    trade: Latencies = field(default_factory=Latencies)
    lateness: Latencies = field(default_factory=Latencies)
    """Of those that left."""
    unseen_trades: int = 0
    """Trades that the stream had not brought when the measurement ended."""
    span_s: float = 0.0
    """From when the first measured order was due until the last was answered."""


TradeTimes = Mapping[tuple[str, int], float]
"""When the stream brought a trade: symbol and trade id, seconds of the shots' clock."""


def tally(shots: Iterable[Shot], seen: TradeTimes) -> Tally:
    """Latencies count from when an order was due, so that a late generator cannot hide anything."""
    found = Tally()
    refused: Counter[str] = Counter()
    measured = [shot for shot in shots if shot.measured]
    if measured:
        found.span_s = max(shot.answered_s for shot in measured) - min(shot.due_s for shot in measured)
    found.due = len(measured)
    for shot in measured:
        if not shot.left:
            continue
        found.sent += 1
        found.lateness.record_s(shot.sent_s - shot.due_s)
        if not shot.answered:
            refused["unknown: no answer came"] += 1
            continue
        found.answered += 1
        found.answer.record_s(shot.answered_s - shot.due_s)
        if not shot.accepted:
            refused[reason(shot)] += 1
            continue
        found.accepted += 1
        for fill in orjson.loads(shot.body).get("fills", ()):
            found.trades += 1
            at = seen.get((shot.order.symbol, fill["tradeId"]))
            if at is None:
                found.unseen_trades += 1
            else:
                found.trade.record_s(at - shot.due_s)
    found.refused = dict(refused.most_common())
    return found


def reason(shot: Shot) -> str:
    try:
        body = orjson.loads(shot.body)
        return f"{shot.status} {body['code']} {body['msg']}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"{shot.status}"


def journal_lines(shots: Iterable[Shot]) -> Iterable[bytes]:
    """Yield what the audit (I3) holds against the tables: one JSON line for every order that left."""
    for shot in shots:
        if not shot.left:
            continue
        line: dict[str, Any] = {
            "client_order_id": shot.client_order_id,
            "account_id": shot.account_id,
            "symbol": shot.order.symbol,
            "status_code": shot.status,
        }
        if shot.accepted:
            line["order_id"] = orjson.loads(shot.body)["orderId"]
        yield orjson.dumps(line) + b"\n"
