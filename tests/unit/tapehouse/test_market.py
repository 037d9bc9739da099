from __future__ import annotations

import pytest

from schemas.orders import MarketState
from tapehouse.errors import USAGE, OperatorError
from tapehouse.market import command, end_ns

NOW = 1_800_000_000 * 10**9


@pytest.mark.parametrize(
    ("until", "seconds", "expected"),
    [
        (None, None, None),
        (None, 1.5, NOW + 1_500_000_000),
        ("2027-01-15T08:00:01Z", None, NOW + 10**9),
        ("2027-01-15T08:00:01", None, NOW + 10**9),
        ("2027-01-15T10:00:01+02:00", None, NOW + 10**9),
    ],
)
def test_end_of_a_halt(until: str | None, seconds: float | None, expected: int | None) -> None:
    assert end_ns(MarketState.HALT, until, seconds, NOW) == expected


@pytest.mark.parametrize(
    ("state", "until", "seconds", "message"),
    [
        (MarketState.TRADING, None, 1, "only a halt or an auction does"),
        (MarketState.HALT, "2027-01-15T08:00:01Z", 1, "not both"),
        (MarketState.AUCTION, "tomorrow", None, "is no time"),
    ],
)
def test_end_that_cannot_be(
    state: MarketState, until: str | None, seconds: float | None, message: str
) -> None:
    with pytest.raises(OperatorError, match=message) as refused:
        end_ns(state, until, seconds, NOW)
    assert refused.value.exit_code == USAGE


@pytest.mark.parametrize(
    ("what", "symbol", "message"),
    [
        ("NOSUCH", None, "no symbol 'NOSUCH'; there are BTCUSDT"),
        ("halt", None, "which symbol"),
        ("halt", "NOSUCH", "no symbol"),
        ("stop", "BTCUSDT", "'stop' is none of halt"),
    ],
)
def test_what_cannot_be_asked_is_said(what: str, symbol: str | None, message: str) -> None:
    with pytest.raises(OperatorError, match=message) as refused:
        command(what, symbol)
    assert refused.value.exit_code == USAGE
