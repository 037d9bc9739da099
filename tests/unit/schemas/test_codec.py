from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import commands
from schemas.codec import InvalidMessage, NewerMessage, decoder_for, decoder_for_union, encode, record_hash
from schemas.commands import CancelOrder, PlaceOrder

CANCEL = CancelOrder(
    event_id="e",
    correlation_id="c",
    causation_id="e",
    occurred_at_ns=1,
    account_id=7,
    symbol="BTCUSDT",
    client_order_id="x",
    order_id=5,
)
decode = decoder_for_union(commands.ORDER_REQUESTS)


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(encode(CANCEL)), **fields}).encode()


def test_message_round_trips_and_unset_fields_are_absent() -> None:
    assert decode(encode(CANCEL)) == CANCEL
    assert b"orig_client_order_id" not in encode(CANCEL)


def test_unknown_field_is_ignored() -> None:
    assert decode(changed(later_field=1)) == CANCEL


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00\xff", b"[]", b"null", b"{}", b'{"type":"CancelOrder.v1"}', changed(order_id="five"),
     changed(type="Nothing.v1"), changed(type="EnterOrder.v1"), b"[" * 100_000],
)  # fmt: skip
def test_what_cannot_be_read_is_invalid(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode(data)


def test_newer_major_version_stops_and_is_not_skipped() -> None:
    with pytest.raises(NewerMessage, match=r"CancelOrder\.v2"):
        decode(changed(type="CancelOrder.v2"))


@given(st.binary(max_size=300))
def test_any_bytes_give_a_message_or_invalid(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decoder_for(PlaceOrder)(data)


def test_hash_is_32_hex_digits_of_the_bytes() -> None:
    assert record_hash(b"") == "cae66941d9efbd404e4d88758ea67670"


def test_text_that_is_not_utf8_is_invalid() -> None:
    with pytest.raises(InvalidMessage, match="utf-8"):
        decode(encode(CANCEL).replace(b"BTCUSDT", b"\xff"))
