"""What the raw answers come to."""

from __future__ import annotations

import json
from typing import Any

import orjson

from schemas.orders import Side
from tapehouse.bench.order_plan import PlannedOrder
from tapehouse.bench.shots import Shot, journal_lines, tally

ORDER = PlannedOrder(0, "BTCUSDT", Side.BUY, True, "1.00", "2.0")


def shot(number: int, status: int = 200, body: Any = None, **values: Any) -> Shot:
    found = Shot(ORDER, f"run-{number}", 1001, due_s=10.0, measured=True)
    found.sent_s, found.answered_s, found.status = 10.001, 10.005, status
    found.body = orjson.dumps({"orderId": number, "fills": []} if body is None else body)
    for name, value in values.items():
        setattr(found, name, value)
    return found


def test_latency_counts_from_when_the_order_was_due() -> None:
    found = tally([shot(1, sent_s=10.5, answered_s=10.6)], {})
    assert 599 < found.answer.summary_ms()["p50"] < 601
    assert 499 < found.lateness.summary_ms()["max"] < 501


def test_what_was_carried_counts_until_the_last_answer() -> None:
    shots = [shot(1, measured=False, due_s=1.0), shot(2), shot(3, due_s=10.5, answered_s=12.0), shot(4, 503)]
    assert tally(shots, {}).span_s == 2.0
    assert tally([], {}).span_s == 0.0


def test_trades_are_matched_with_the_stream_by_id() -> None:
    body = {"orderId": 7, "fills": [{"tradeId": 3}, {"tradeId": 4}]}
    found = tally([shot(7, body=body)], {("BTCUSDT", 3): 10.02, ("ETHUSDT", 4): 10.02})
    assert (found.trades, found.unseen_trades, found.trade.count) == (2, 1, 1)
    assert 19.9 < found.trade.summary_ms()["p50"] < 20.1


def test_refusals_are_counted_by_code_and_unknown_apart() -> None:
    no_funds = {"code": -2010, "msg": "Account has insufficient balance for requested action."}
    shots = [shot(1), shot(2, 400, no_funds), shot(3, 400, no_funds), shot(4, 0), shot(5, 503, "?")]
    found = tally(shots, {})
    assert (found.sent, found.accepted, found.answer.count) == (5, 1, 4)
    assert found.refused == {
        "400 -2010 Account has insufficient balance for requested action.": 2,
        "unknown: no answer came": 1,
        "503": 1,
    }


def test_what_never_left_is_neither_sent_nor_late_nor_in_the_journal() -> None:
    shots = [shot(1, due_s=1.0), shot(2, 0, due_s=2.0, sent_s=0.0, answered_s=0.0)]
    found = tally(shots, {})
    assert (found.due, found.sent, found.answered, found.refused) == (2, 1, 1, {})
    assert found.lateness.count == 1
    assert len(list(journal_lines(shots))) == 1


def test_warm_up_is_not_counted_and_is_in_the_journal() -> None:
    shots = [shot(1, measured=False), shot(2), shot(3, 400, {"code": 1, "msg": ""})]
    assert tally(shots, {}).sent == 2
    lines = [json.loads(line) for line in journal_lines(shots)]
    assert [line.get("order_id") for line in lines] == [1, 2, None]
    assert lines[0] == {
        "client_order_id": "run-1",
        "account_id": 1001,
        "symbol": "BTCUSDT",
        "status_code": 200,
        "order_id": 1,
    }
