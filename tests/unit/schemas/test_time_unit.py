from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.public_errors import PublicError
from schemas.time_unit import answer_in_microseconds, event_in_microseconds, wants_microseconds

MS = 1_700_000_000_123
US = 1_700_000_000_123_000


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"serverTime": MS}, {"serverTime": US}),
        (
            [{"time": MS, "updateTime": MS, "workingTime": -1}],
            [{"time": US, "updateTime": US, "workingTime": -1}],
        ),
        ({"transactTime": MS, "fills": [{"tradeId": 7}]}, {"transactTime": US, "fills": [{"tradeId": 7}]}),
        ({"amendedOrder": {"workingTime": MS}}, {"amendedOrder": {"workingTime": US}}),
        ([{"a": 1, "f": 1, "T": MS}], [{"a": 1, "f": 1, "T": US}]),
        ({"openTime": 60_000, "closeTime": 119_999}, {"openTime": 60_000_000, "closeTime": 119_999_999}),
        ({"mins": 5, "closeTime": 0}, {"mins": 5, "closeTime": 0}),
        ({"bids": [["1", "2"]], "lastUpdateId": 5}, {"bids": [["1", "2"]], "lastUpdateId": 5}),
        (
            [[60_000, "1", "1", "1", "1", "0", 119_999, "0", 3, "0", "0", "0"]],
            [[60_000_000, "1", "1", "1", "1", "0", 119_999_999, "0", 3, "0", "0", "0"]],
        ),
    ],
)
def test_every_time_of_an_answer_is_in_microseconds_and_nothing_else(body: Any, expected: Any) -> None:
    assert orjson.loads(answer_in_microseconds(orjson.dumps(body))) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"e": "trade", "E": MS, "t": 5, "T": MS}, {"e": "trade", "E": US, "t": 5, "T": US}),
        (
            {"e": "kline", "E": MS, "k": {"t": 60_000, "T": 119_999, "f": 1, "L": 2}},
            {"e": "kline", "E": US, "k": {"t": 60_000_000, "T": 119_999_999, "f": 1, "L": 2}},
        ),
        (
            [{"e": "24hrTicker", "E": MS, "O": 60_000, "C": MS, "F": 1, "L": 2}],
            [{"e": "24hrTicker", "E": US, "O": 60_000_000, "C": US, "F": 1, "L": 2}],
        ),
        ({"e": "depthUpdate", "E": MS, "U": 1, "u": 2}, {"e": "depthUpdate", "E": US, "U": 1, "u": 2}),
        ({"u": 400, "s": "BTCUSDT"}, {"u": 400, "s": "BTCUSDT"}),
        ({"e": "24hrMiniTicker", "E": MS, "c": "1"}, {"e": "24hrMiniTicker", "E": US, "c": "1"}),
        (
            {"subscriptionId": 0, "event": {"e": "outboundAccountPosition", "E": MS, "u": MS}},
            {"subscriptionId": 0, "event": {"e": "outboundAccountPosition", "E": US, "u": US}},
        ),
        (
            {"e": "executionReport", "E": MS, "T": MS, "O": MS, "W": MS, "C": "", "t": 9, "D": -1, "i": MS},
            {"e": "executionReport", "E": US, "T": US, "O": US, "W": US, "C": "", "t": 9, "D": -1, "i": MS},
        ),
    ],
)
def test_every_time_of_an_event_is_in_microseconds_and_no_id(body: Any, expected: Any) -> None:
    assert orjson.loads(event_in_microseconds(orjson.dumps(body))) == expected


def test_the_unit_is_named_and_nothing_else_is_understood() -> None:
    assert wants_microseconds("microsecond")
    assert not wants_microseconds("MILLISECOND")
    with pytest.raises(PublicError) as refusal:
        wants_microseconds("SECOND")
    assert refusal.value.code == -1194
