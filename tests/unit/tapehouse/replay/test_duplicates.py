"""What a take-over wrote twice is read once."""

from __future__ import annotations

import pytest

from schemas.codec import encode, record_hash
from schemas.envelope import Message
from schemas.events import GENESIS_HASH, CommandMatched, DeadLetter, RequestRejected
from schemas.reasons import RejectReason
from service_runtime.errors import ChainBroken, SequenceGap
from tapehouse.replay.duplicates import Duplicates
from tests.unit.tapehouse.replay.messages import ENVELOPE, enter, matched, place, record, trade


def firsts(topic: str, messages: list[Message], *, checked: bool = False) -> list[bool]:
    duplicates = Duplicates(topic, checked=checked)
    found = [duplicates.is_first(record(message, offset), message) for offset, message in enumerate(messages)]
    assert duplicates.dropped == found.count(False)
    return found


def chain(length: int) -> list[CommandMatched]:
    found: list[CommandMatched] = []
    last = GENESIS_HASH
    for sequence in range(1, length + 1):
        found.append(matched(sequence, previous_hash=last))
        last = record_hash(encode(found[-1]))
    return found


@pytest.mark.parametrize("checked", [True, False])
def test_matched_events_are_dropped_by_sequence(checked: bool) -> None:
    one, two, three = chain(3)
    found = firsts("matched-events", [one, two, one, two, three, three], checked=checked)
    assert found == [True, True, False, False, True, False]


@pytest.mark.parametrize("checked", [True, False])
def test_trades_are_dropped_by_id_per_symbol(checked: bool) -> None:
    messages = [trade(1), trade(1, symbol="ETHUSDT"), trade(1), trade(2), trade(1, symbol="ETHUSDT")]
    assert firsts("trade-execution", messages, checked=checked) == [True, True, False, True, False]


def test_whole_log_with_a_gap_stops() -> None:
    with pytest.raises(SequenceGap):
        firsts("trade-execution", [trade(1), trade(3)], checked=True)


def test_whole_log_with_a_broken_chain_stops() -> None:
    one, two, _ = chain(3)
    with pytest.raises(ChainBroken):
        firsts("matched-events", [one, matched(2, previous_hash="f" * 32)], checked=True)
    assert firsts("matched-events", [two], checked=False) == [True]


def test_part_of_a_log_may_begin_anywhere() -> None:
    assert firsts("trade-execution", [trade(7), trade(6), trade(8)]) == [True, False, True]


def test_validated_orders_are_dropped_by_source_offset_of_symbol_and_partition() -> None:
    messages = [
        enter(5),
        enter(5),
        enter(4),
        enter(4, source_partition=1),
        enter(5, symbol="ETHUSDT"),
        enter(6),
    ]
    assert firsts("validated-orders", messages) == [True, False, False, True, True, True]


def test_replies_of_both_kinds_are_dropped() -> None:
    refused = RequestRejected(
        **ENVELOPE,
        source_partition=0,
        source_offset=3,
        account_id=1,
        symbol="BTCUSDT",
        client_order_id="a",
        reason=RejectReason.INSUFFICIENT_FUNDS,
    )
    messages = [matched(3), refused, refused, matched(3), matched(4)]
    assert firsts("order-replies", messages) == [True, True, False, False, True]


def test_dead_letter_of_one_source_is_read_once() -> None:
    def letter(offset: int) -> DeadLetter:
        return DeadLetter(
            **ENVELOPE,
            source_topic="order-requests",
            source_partition=0,
            source_offset=offset,
            service="processor",
            reason="decode_error",
            detail="",
            raw_base64="",
        )

    assert firsts("dead-letters", [letter(9), letter(2), letter(9)]) == [True, True, False]


def test_requests_are_all_first() -> None:
    assert firsts("order-requests", [place(), place()]) == [True, True]
