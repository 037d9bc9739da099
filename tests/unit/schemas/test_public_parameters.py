"""Parameters as they arrive: strict, by name, and never silently dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import public_errors
from schemas.public_errors import PublicError
from schemas.public_parameters import Parameters, parse_form


def refusal(work: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(PublicError) as refused:
        work()
    return refused.value.code, refused.value.msg


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=6))
def test_what_a_client_encodes_is_what_is_read(values: dict[str, str]) -> None:
    assert parse_form(urlencode(values).encode()) == values


def test_the_query_wins_over_the_body() -> None:
    parameters = Parameters.parse(b"a=1&b=%20+", b"a=2&c=3")
    assert [parameters.text(name) for name in ("a", "b", "c", "d")] == ["1", "  ", "3", None]


@pytest.mark.parametrize("raw", [b"a=1&a=1", b"a=1&%61=2", b"a&a"])
def test_a_name_given_twice_is_refused(raw: bytes) -> None:
    expected = (-1101, "Duplicate values for a parameter detected.")
    assert refusal(lambda: Parameters.parse(raw)) == expected
    assert refusal(lambda: Parameters.parse(b"", raw)) == expected


def test_bytes_that_are_no_text_are_refused() -> None:
    assert refusal(lambda: Parameters.parse(b"a=%ff"))[0] == -1100
    assert refusal(lambda: Parameters.parse(b"%ff=1"))[0] == -1100


def test_an_unknown_parameter_is_refused_with_the_counts() -> None:
    parameters = Parameters.parse(b"symbol=A&is_admin=true&fee_rate=0")
    expected = "Not all sent parameters were read; read '1' parameter(s) but was sent '3'."
    assert refusal(lambda: parameters.refuse_unknown(frozenset({"symbol", "x"}))) == (-1104, expected)
    parameters.refuse_unknown(frozenset({"symbol", "is_admin", "fee_rate", "x"}))


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"n=-1", -1100),
        (b"n=1.0", -1100),
        (b"n=", -1105),
        (b"n=9223372036854775808", -1108),
        (b"n=1e3", -1100),
    ],
)
def test_an_integer_is_plain_and_fits(raw: bytes, code: int) -> None:
    assert refusal(lambda: Parameters.parse(raw).integer("n"))[0] == code


def test_a_limit_is_capped_and_not_zero() -> None:
    assert Parameters.parse(b"").limit(500, 1000) == 500
    assert Parameters.parse(b"limit=1000000000").limit(500, 1000) == 1000
    assert refusal(lambda: Parameters.parse(b"limit=0").limit(500, 1000))[0] == -1130


def test_symbols_are_a_json_array_without_doubles() -> None:
    assert Parameters.parse(b"symbols=%5B%22A%22,%22B%22%5D").symbols() == ["A", "B"]
    assert Parameters.parse(b"").symbols() is None
    for raw, code in (
        (b'symbols=["A","A"]', -1151),
        (b"symbols=A", -1135),
        (b"symbols=[]", -1135),
        (b"symbols=[1]", -1135),
        (b'symbols=["a"]', -1100),
        (b"symbols=" + b"[" * 10_000, -1135),
    ):
        assert refusal(lambda raw=raw: Parameters.parse(raw).symbols())[0] == code  # type: ignore[misc]


def test_a_boolean_and_a_choice_take_only_their_words() -> None:
    assert Parameters.parse(b"x=TRUE").boolean("x") is True
    assert Parameters.parse(b"").boolean("x") is False
    assert refusal(lambda: Parameters.parse(b"x=1").boolean("x"))[0] == -1100
    refused = public_errors.INVALID_SIDE
    assert Parameters.parse(b"x=A").choice("x", ("A", "B"), refused) == "A"
    assert refusal(lambda: Parameters.parse(b"x=C").choice("x", ("A", "B"), refused))[0] == -1117


def test_an_empty_client_id_is_refused_in_its_own_words() -> None:
    parameters = Parameters.parse(b"newClientOrderId=&origClientOrderId=")
    assert refusal(lambda: parameters.client_id("newClientOrderId")) == (
        -1118,
        "New client order ID was empty.",
    )
    assert refusal(lambda: parameters.client_id("origClientOrderId"))[0] == -1119
