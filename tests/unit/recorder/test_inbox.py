from __future__ import annotations

import pytest

from recorder.inbox import Poison, read_event
from schemas.codec import NewerMessage, encode
from schemas.instruments import load_instruments
from schemas.topics import load_topics
from service_runtime.event_log import Record
from tests.builders import MatchedChain, account_opened, funds_deposited, trade_executed

TOPICS, INSTRUMENTS = load_topics(), load_instruments()


def _read(topic: str, value: bytes, partition: int = 0):
    return read_event(Record(topic, partition, 0, value), TOPICS, INSTRUMENTS)


def test_good_records_are_read() -> None:
    assert _read("trade-execution", encode(trade_executed())) == trade_executed()
    assert _read("account-events", encode(account_opened())) == account_opened()
    assert not isinstance(_read("matched-events", MatchedChain().next()), Poison)


@pytest.mark.parametrize(
    ("topic", "value", "partition", "reason"),
    [
        ("trade-execution", b"{}", 0, "decode_error"),
        ("trade-execution", encode(account_opened()), 0, "decode_error"),
        ("trade-execution", encode(trade_executed()), 2, "wrong_partition"),
        ("matched-events", MatchedChain("NOPE").next(), 0, "validation_error"),
        ("account-events", encode(account_opened()), 1, "wrong_partition"),
        ("account-events", encode(account_opened(account_id=1)), 1, "validation_error"),
        ("account-events", encode(account_opened(name="a\x00")), 0, "validation_error"),
        ("account-events", encode(account_opened(maker_fee_ppm=-1)), 0, "validation_error"),
        ("account-events", encode(funds_deposited(amount_minor=0)), 0, "validation_error"),
        ("account-events", encode(funds_deposited(amount_minor=2**63)), 0, "validation_error"),
        ("account-events", encode(funds_deposited(asset="DOGE")), 0, "validation_error"),
        ("account-events", encode(funds_deposited(deposit_id="")), 0, "validation_error"),
    ],
)
def test_poison_is_told_apart(topic: str, value: bytes, partition: int, reason: str) -> None:
    found = _read(topic, value, partition)
    assert isinstance(found, Poison)
    assert found.reason == reason


def test_a_newer_major_version_stops_the_reader() -> None:
    with pytest.raises(NewerMessage):
        _read("trade-execution", encode(trade_executed()).replace(b"TradeExecuted.v1", b"TradeExecuted.v3"))
