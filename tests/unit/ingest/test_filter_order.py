from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from ingest.filter_order import first_refusal
from ingest.filters import AfterPriceBand
from ingest.order_form import read_order
from ingest.order_list_form import read_order_list
from schemas.instruments import load_instruments
from schemas.orders import OrderListKind
from schemas.public_parameters import Parameters
from service_runtime.hot_book import HotBookAway

INSTRUMENTS = load_instruments()
LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
LOT_SIZE, PERCENT = "Filter failure: LOT_SIZE", "Filter failure: PERCENT_PRICE_BY_SIDE"


class _Prices:
    def __init__(self, last: int | None, away: bool = False) -> None:
        self.last, self.away = last, away

    async def last_prices(self, symbols: Sequence[str]) -> dict[str, int | None]:
        if self.away:
            raise HotBookAway("gone")
        return dict.fromkeys(symbols, self.last)


def _refused(**changes: str) -> AfterPriceBand:
    with pytest.raises(AfterPriceBand) as refused:
        read_order(INSTRUMENTS, Parameters({**LIMIT, **changes}), lambda: "x")
    return refused.value


@pytest.mark.parametrize(
    ("last", "away", "msg"),
    [(100_000, False, PERCENT), (3_000_000, False, LOT_SIZE), (None, False, LOT_SIZE), (1, True, LOT_SIZE)],
    ids=["outside the band", "inside", "no trade yet", "no hot book"],
)
def test_an_order_that_fails_both_is_refused_by_what_comes_first(
    last: int | None, away: bool, msg: str
) -> None:
    later = _refused(price="30000", quantity="0.0000001")
    first = asyncio.run(first_refusal(later, _Prices(last, away)))
    assert (first.status, first.code, first.msg) == (400, -1013, msg)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"quantity": "9999999"}, "LOT_SIZE"),
        ({"quantity": "9000", "price": "1000000"}, "NOTIONAL"),
        ({"quantity": "1", "icebergQty": "0.000001"}, "ICEBERG_PARTS"),
    ],
)
def test_every_filter_after_the_price_band_says_so(wrong: dict[str, str], name: str) -> None:
    assert _refused(**{"price": "30000", **wrong}).msg == f"Filter failure: {name}"


def test_a_pending_leg_is_not_held_against_the_last_price() -> None:
    legs = {
        **{"symbol": "BTCUSDT", "workingType": "LIMIT", "workingSide": "BUY", "workingPrice": "30000"},
        **{
            "workingQuantity": "1",
            "workingTimeInForce": "GTC",
            "pendingType": "LIMIT",
            "pendingSide": "SELL",
        },
        **{"pendingPrice": "31000", "pendingTimeInForce": "GTC", "pendingQuantity": "1"},
    }

    def refusal(**wrong: str) -> Exception:
        with pytest.raises(Exception, match=LOT_SIZE) as refused:
            read_order_list(INSTRUMENTS, Parameters({**legs, **wrong}), OrderListKind.OTO, lambda name: name)
        return refused.value

    assert isinstance(refusal(workingQuantity="0.0000001"), AfterPriceBand)
    assert not isinstance(refusal(pendingQuantity="0.0000001"), AfterPriceBand)
