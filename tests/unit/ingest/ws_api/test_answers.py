"""The bytes of answers."""

from __future__ import annotations

import orjson
import pytest

from ingest.rate_limits import RateLimits
from ingest.settings import LimitSettings
from ingest.ws_api.answers import LimitRows, frame_text, id_text, refusal_body
from schemas import public_errors as errors
from tests.unit.ingest.clients import NOW_MS, NOW_NS


@pytest.fixture
def rows() -> LimitRows:
    return LimitRows(RateLimits(LimitSettings()).published())


def test_rows_show_weight_and_the_orders_that_were_counted(rows: LimitRows) -> None:
    weight = {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 6000,
        "count": 7,
    }
    assert orjson.loads(rows.text(7, [(b"x-other", b"1")])) == [weight]
    headers = [(b"x-mbx-order-count-10s", b"3"), (b"x-mbx-order-count-1d", b"4")]
    ten, day, last = orjson.loads(rows.text(7, headers))
    assert last == weight
    assert (ten["interval"], ten["intervalNum"], ten["limit"], ten["count"]) == ("SECOND", 10, 100, 3)
    assert (day["interval"], day["intervalNum"], day["limit"], day["count"]) == ("DAY", 1, 200000, 4)


@pytest.mark.parametrize("request_id", [None, 1, -5, "1", 'a"b\\', "é"])
def test_an_answer_carries_the_id_and_the_body_as_they_are(request_id: int | str | None) -> None:
    good = orjson.loads(frame_text(id_text(request_id), 200, b'{"a":1}', b"[]"))
    assert good == {"id": request_id, "status": 200, "result": {"a": 1}, "rateLimits": []}
    bad = orjson.loads(frame_text(id_text(request_id), 409, b'{"code":-2021,"msg":"x","data":{}}', None))
    assert bad == {"id": request_id, "status": 409, "error": {"code": -2021, "msg": "x", "data": {}}}


def test_a_limit_says_when_to_come_back() -> None:
    refusal = errors.TOO_MUCH_WEIGHT(6000, "1 MINUTE", retry_after=7)
    body = orjson.loads(refusal_body(refusal, NOW_NS))
    assert body["data"] == {"serverTime": NOW_MS, "retryAfter": NOW_MS + 7000}
    away = errors.OVERLOADED(retry_after=1)
    assert orjson.loads(refusal_body(away, NOW_NS)) == {"code": away.code, "msg": away.msg}
