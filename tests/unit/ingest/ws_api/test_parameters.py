"""Parameters as JSON: texts, ids, and what their signature may be over."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlencode

import msgspec
import pytest

from ingest.ws_api.parameters import as_texts, checked_id, decode, encoded
from schemas.public_errors import PublicError
from schemas.public_parameters import Parameters


def texts(params: str) -> dict[str, str]:
    return as_texts(decode(f'{{"params":{params}}}'.encode()).params)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ('"0.10"', "0.10"),
        ("0.10", "0.10"),
        ("1e-3", "1e-3"),
        ("0.00000001", "0.00000001"),
        ("12345678901234567890.12345678", "12345678901234567890.12345678"),
        ("7", "7"),
        ("-7", "-7"),
        ("9007199254740993", "9007199254740993"),
        ("true", "true"),
        ("false", "false"),
        ("null", ""),
        ('["BTCUSDT", "ETHBTC"]', '["BTCUSDT","ETHBTC"]'),
        ('""', ""),
    ],
)
def test_a_value_is_the_text_that_was_sent(sent: str, text: str) -> None:
    assert texts(f'{{"x":{sent}}}') == {"x": text}


def test_no_params_are_none_and_another_type_is_refused() -> None:
    assert as_texts(decode(b'{"method":"ping"}').params) == {}
    assert texts("null") == {}
    for wrong in ("[]", '"x"', "1", "true", "1.5"):
        with pytest.raises(PublicError) as refused:
            texts(wrong)
        assert refused.value.code == -1130


@pytest.mark.parametrize("wrong", [1.5, True, [], {}, "x" * 65, 2**63, -(2**63) - 1])
def test_what_cannot_be_an_id(wrong: object) -> None:
    with pytest.raises(PublicError):
        checked_id(wrong)
    with pytest.raises(PublicError):
        checked_id(decode(b'{"id":1.5}').id)


def test_ids_keep_their_type() -> None:
    for good in (None, 0, -(2**63), 2**63 - 1, "", "x" * 64, "1"):
        assert checked_id(good) is good


def test_a_signature_is_over_the_sorted_texts_of_all_but_itself() -> None:
    given = texts('{"symbol":"A","apiKey":"k","signature":"s","returnRateLimits":false,"price":0.10}')
    assert encoded(given).signed == (b"apiKey=k&price=0.10&returnRateLimits=false&symbol=A",)


def test_reserved_characters_may_be_signed_raw_or_encoded() -> None:
    given = {"b": "x y/z", "a": "1"}
    payloads = encoded(given).signed
    assert payloads[0] == b"a=1&b=x y/z"
    assert urlencode(sorted(given.items())).encode() in payloads
    assert b"a=1&b=x%20y%2Fz" in payloads
    digests = {hmac.digest(b"k", payload, hashlib.sha256) for payload in payloads}
    assert len(digests) == 3


@pytest.mark.parametrize(
    "value", ["plain", "a b", "a+b", "a&b=c", "100%", "é", '["A","B"]', "a=b", "%41", ""]
)
def test_the_query_string_says_the_same(value: str) -> None:
    given = {"apiKey": "k", "x": value, "signature": "s", "y": "1", "returnRateLimits": "true"}
    query = encoded(given).query
    assert Parameters.parse(query)._values == {"x": value, "y": "1"}


def test_a_name_cannot_smuggle_another_parameter() -> None:
    query = encoded({"x&symbol=BTCUSDT": "1", "symbol": "ETHBTC"}).query
    assert Parameters.parse(query)._values == {"x&symbol=BTCUSDT": "1", "symbol": "ETHBTC"}


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"[" * 50_000, b"\xff", b'{"id":"\\ud800"}'])
def test_what_is_no_json_object_does_not_decode(raw: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError, RecursionError)):
        decode(raw)
