from __future__ import annotations

from pathlib import Path

import msgspec

from tapehouse.audit import journal
from tapehouse.chaos.client_journal import ClientJournal, answer_of, tally
from tapehouse.chaos.order_flow import Act, Kind


def act(kind: Kind = "place", name: str = "c-1") -> Act:
    return Act(kind, 3, "BTCUSDT", name, "POST", "/api/v3/order", {})


def answered(status: int, document: object = None, kind: Kind = "place", name: str = "c-1"):  # type: ignore[no-untyped-def]
    body = b"" if document is None else msgspec.json.encode(document)
    return answer_of(act(kind, name), 1003, status, body, 10, 20)


def test_answer_of_an_order_and_of_a_replacement_name_order_and_trades() -> None:
    order = {"orderId": 17, "fills": [{"tradeId": 4}, {"tradeId": 5}]}
    placed, replaced = (
        answered(200, order),
        answered(200, {"newOrderResponse": order, "cancelResult": "SUCCESS"}),
    )
    assert (placed.order_id, placed.trade_ids) == (replaced.order_id, replaced.trade_ids) == (17, (4, 5))


def test_refusal_keeps_its_code_and_no_answer_is_zero() -> None:
    refused = answered(400, {"code": -2010, "msg": "no"})
    assert (refused.order_id, refused.code) == (None, -2010)
    assert answered(0).status_code == journal.NO_ANSWER
    assert answered(502, None).code is None
    assert answer_of(act(), 1003, 502, b"<html>", 1, 2).status_code == 502


def test_file_is_what_the_audit_reads(tmp_path: Path) -> None:
    written = ClientJournal(tmp_path / "journal.jsonl")
    for answer in (
        answered(200, {"orderId": 17}),
        answered(0, name="c-2"),
        answered(400, {"code": 1}, "cancel"),
    ):
        written.add(answer)
    assert [a.client_order_id for a in written.take_round()] == ["c-1", "c-2", "c-1"]
    read = [told for _, told in journal.lines_of(written.path)]
    assert [(t.kind, t.client_order_id, t.status_code, t.order_id) for t in read] == [
        ("place", "c-1", 200, 17),
        ("place", "c-2", 0, None),
        ("cancel", "c-1", 400, None),
    ]
    assert written.take_round() == []
    written.close()


def test_tally_tells_unknown_from_shed_and_refused() -> None:
    told = tally([answered(status) for status in (200, 200, 0, 504, 503, 400)])
    assert (told.requests, told.acknowledged, told.unknown, told.shed, told.refused) == (6, 2, 2, 1, 1)
