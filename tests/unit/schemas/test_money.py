from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.money import InvalidDecimal, TooPrecise, fee_minor, format_decimal, parse_decimal


@given(st.integers(0, 10**18), st.integers(0, 8))
def test_text_and_amount_round_trip(amount: int, scale: int) -> None:
    assert parse_decimal(format_decimal(amount, scale), scale) == amount


@given(st.integers(-(10**18), 10**18), st.integers(0, 8))
def test_text_equals_the_decimal(amount: int, scale: int) -> None:
    text = format_decimal(amount, scale)
    assert Decimal(text) == Decimal(amount).scaleb(-scale)
    assert len(text.partition(".")[2]) == 8


@pytest.mark.parametrize(
    "text",
    ["", ".", "1.", ".5", "-1", "+1", " 1", "1 ", "1e3", "1E400", "NaN", "Infinity", "0x1", "1,000", "١٢",
     "1" * 400, "1_0", "1\n", "1\x00"],
)  # fmt: skip
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(InvalidDecimal):
        parse_decimal(text, 8)


def test_lost_digits_are_refused_and_trailing_zeros_are_not() -> None:
    assert parse_decimal("1.500", 1) == 15
    with pytest.raises(TooPrecise):
        parse_decimal("1.501", 1)


@given(st.integers(0, 10**18), st.integers(0, 10**6))
def test_fee_rounds_against_the_trader_by_less_than_one_unit(amount: int, rate: int) -> None:
    exact = Decimal(amount) * rate / 10**6
    assert fee_minor(amount, rate) == int(exact.to_integral_value(ROUND_CEILING))
