"""What exchangeInfo says of a symbol is what is checked."""

from __future__ import annotations

from dataclasses import replace

import orjson

from schemas.instruments import load_instruments
from schemas.public_wire import (
    asset_filters,
    exchange_info,
    filters,
    milliseconds,
    multiplier_text,
    rate_text,
)

INSTRUMENTS = load_instruments()


def test_limits_that_only_some_exchanges_have_are_shown_where_they_are_set() -> None:
    usual = INSTRUMENTS["BTCUSDT"]
    assert "MAX_POSITION" not in {one["filterType"] for one in filters(usual)}
    assert asset_filters(usual) == []
    base = replace(usual.base, max_order_minor=250_000_000)
    limited = replace(usual, base=base, max_position_lots=7_000_000)
    assert filters(limited)[-1] == {"filterType": "MAX_POSITION", "maxPosition": "7.00000000"}
    assert asset_filters(limited) == [{"filterType": "MAX_ASSET", "limit": "2.50000000", "asset": "BTC"}]


def test_exchange_info_publishes_the_filters_that_are_checked() -> None:
    info = exchange_info(INSTRUMENTS, {"BTCUSDT": "HALT"}, [], 5)
    assert (info["timezone"], info["serverTime"]) == ("UTC", 5)
    assert info["exchangeFilters"] == [
        {"filterType": "EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders": 5000},
        {"filterType": "EXCHANGE_MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 500},
        {"filterType": "EXCHANGE_MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders": 500},
        {"filterType": "EXCHANGE_MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 100},
    ]
    (symbol,) = info["symbols"]
    assert {
        f["filterType"]: {k: v for k, v in f.items() if k != "filterType"} for f in symbol["filters"]
    } == {
        "PRICE_FILTER": {"minPrice": "0.01000000", "maxPrice": "1000000.00000000", "tickSize": "0.01000000"},
        "PERCENT_PRICE_BY_SIDE": {
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 0,
        },
        "LOT_SIZE": {"minQty": "0.00000100", "maxQty": "9000.00000000", "stepSize": "0.00000100"},
        "MARKET_LOT_SIZE": {"minQty": "0.00000100", "maxQty": "150.00000000", "stepSize": "0.00000100"},
        "NOTIONAL": {
            "minNotional": "0.01000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": True,
            "avgPriceMins": 0,
        },
        "ICEBERG_PARTS": {"limit": 100},
        "TRAILING_DELTA": {
            "minTrailingAboveDelta": 10,
            "maxTrailingAboveDelta": 2000,
            "minTrailingBelowDelta": 10,
            "maxTrailingBelowDelta": 2000,
        },
        "MAX_NUM_ORDERS": {"maxNumOrders": 1000},
        "MAX_NUM_ALGO_ORDERS": {"maxNumAlgoOrders": 100},
        "MAX_NUM_ICEBERG_ORDERS": {"maxNumIcebergOrders": 100},
        "MAX_NUM_ORDER_LISTS": {"maxNumOrderLists": 20},
        "MAX_NUM_ORDER_AMENDS": {"maxNumOrderAmends": 10},
    }
    assert "contractType" not in symbol  # its presence would make ccxt take it for a future
    assert symbol["status"] == "HALT"
    assert symbol["permissionSets"] == [["SPOT"]]
    stops = ["STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
    assert symbol["orderTypes"] == ["LIMIT", "MARKET", "LIMIT_MAKER", *stops]
    modes = ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"]
    assert symbol["allowedSelfTradePreventionModes"] == modes
    orjson.dumps(info)


def test_rates_multipliers_and_times_are_worded_for_clients() -> None:
    assert (rate_text(1000), rate_text(0)) == ("0.00100000", "0.00000000")
    assert (multiplier_text(5_000_000), multiplier_text(200_000), multiplier_text(1_050_000)) == (
        "5",
        "0.2",
        "1.05",
    )
    assert milliseconds(1_999_999) == 1
