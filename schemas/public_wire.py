"""The clients' shape: Binance's names, decimal strings, milliseconds. No route and no I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from schemas.instruments import PUBLIC_PLACES, ExchangeLimits, Instrument, Instruments
from schemas.money import PPM, format_decimal
from schemas.orders import OrderType, SelfTradePrevention

JSON_TYPE: Final = b"application/json;charset=UTF-8"
ZERO: Final = "0.00000000"
NS_PER_MS: Final = 1_000_000
ORDER_TYPES: Final = tuple(member.value for member in OrderType)
STP_MODES: Final = tuple(member.value for member in SelfTradePrevention)
_PPM_PLACES: Final = 6

encode = orjson.dumps
"""Return a body's bytes."""


def milliseconds(at_ns: int) -> int:
    return at_ns // NS_PER_MS


def rate_text(rate_ppm: int) -> str:
    """Return a rate in parts per million as text with 8 decimals: 1000 is `0.00100000`."""
    return format_decimal(rate_ppm, _PPM_PLACES, PUBLIC_PLACES)


def commission_rates(maker_ppm: int, taker_ppm: int) -> dict[str, str]:
    return {"maker": rate_text(maker_ppm), "taker": rate_text(taker_ppm), "buyer": ZERO, "seller": ZERO}


def no_discount(instrument: Instrument) -> dict[str, Any]:
    """Return `discount` of commissions: no asset pays fees at a discount here."""
    return {
        "enabledForAccount": False,
        "enabledForSymbol": False,
        "discountAsset": instrument.quote.name,
        "discount": ZERO,
    }


def multiplier_text(ppm: int) -> str:
    """Return a multiplier without needless zeros: 5000000 is `5`, 200000 is `0.2`."""
    whole, fraction = divmod(ppm, PPM)
    text = f"{fraction:06d}".rstrip("0")
    return f"{whole}.{text}" if text else str(whole)


def filters(instrument: Instrument) -> list[dict[str, Any]]:
    """Return what `exchangeInfo` publishes of an instrument's limits: exactly what is checked."""
    i, band = instrument, instrument.price_band
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": i.price_text(i.min_price_ticks),
            "maxPrice": i.price_text(i.max_price_ticks),
            "tickSize": i.price_text(1),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": multiplier_text(band.bid_up_ppm),
            "bidMultiplierDown": multiplier_text(band.bid_down_ppm),
            "askMultiplierUp": multiplier_text(band.ask_up_ppm),
            "askMultiplierDown": multiplier_text(band.ask_down_ppm),
            "avgPriceMins": 0,
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": i.quantity_text(i.min_quantity_lots),
            "maxQty": i.quantity_text(i.max_quantity_lots),
            "stepSize": i.quantity_text(1),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": i.quantity_text(i.min_quantity_lots),
            "maxQty": i.quantity_text(i.max_market_quantity_lots),
            "stepSize": i.quantity_text(1),
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": i.quote_text(i.min_notional_minor),
            "applyMinToMarket": True,
            "maxNotional": i.quote_text(i.max_notional_minor),
            "applyMaxToMarket": True,
            "avgPriceMins": 0,
        },
        {"filterType": "ICEBERG_PARTS", "limit": i.max_iceberg_parts},
        {
            "filterType": "TRAILING_DELTA",
            "minTrailingAboveDelta": i.min_trailing_delta_bips,
            "maxTrailingAboveDelta": i.max_trailing_delta_bips,
            "minTrailingBelowDelta": i.min_trailing_delta_bips,
            "maxTrailingBelowDelta": i.max_trailing_delta_bips,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": i.max_open_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": i.max_algo_orders},
        {"filterType": "MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders": i.max_iceberg_orders},
        {"filterType": "MAX_NUM_ORDER_LISTS", "maxNumOrderLists": i.max_order_lists},
        {"filterType": "MAX_NUM_ORDER_AMENDS", "maxNumOrderAmends": i.max_order_amends},
        *(
            [{"filterType": "MAX_POSITION", "maxPosition": i.quantity_text(i.max_position_lots)}]
            if i.max_position_lots is not None
            else []
        ),
    ]


def exchange_filters(limits: ExchangeLimits) -> list[dict[str, Any]]:
    """Return `exchangeFilters`: the limits over all symbols that there are."""
    found = (
        ("EXCHANGE_MAX_NUM_ORDERS", "maxNumOrders", limits.max_open_orders),
        ("EXCHANGE_MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders", limits.max_algo_orders),
        ("EXCHANGE_MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders", limits.max_iceberg_orders),
        ("EXCHANGE_MAX_NUM_ORDER_LISTS", "maxNumOrderLists", limits.max_order_lists),
    )
    return [{"filterType": kind, name: most} for kind, name, most in found if most is not None]


def asset_filters(instrument: Instrument) -> list[dict[str, Any]]:
    """Return MAX_ASSET of the symbol's two assets, where it is set. Shown to its account only."""
    return [
        {"filterType": "MAX_ASSET", "limit": asset.text(asset.max_order_minor), "asset": asset.name}
        for asset in (instrument.base, instrument.quote)
        if asset.max_order_minor is not None
    ]


def symbol_info(instrument: Instrument, status: str) -> dict[str, Any]:
    """Return one entry of `exchangeInfo.symbols`."""
    return {
        "symbol": instrument.symbol,
        "status": status,
        "baseAsset": instrument.base.name,
        "baseAssetPrecision": PUBLIC_PLACES,
        "quoteAsset": instrument.quote.name,
        "quotePrecision": PUBLIC_PLACES,
        "quoteAssetPrecision": PUBLIC_PLACES,
        "baseCommissionPrecision": PUBLIC_PLACES,
        "quoteCommissionPrecision": PUBLIC_PLACES,
        "orderTypes": list(ORDER_TYPES),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "opoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters(instrument),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": instrument.self_trade_prevention.value,
        "allowedSelfTradePreventionModes": list(STP_MODES),
    }


def exchange_info(
    instruments: Instruments, symbols: Mapping[str, str], rate_limits: list[dict[str, Any]], now_ms: int
) -> dict[str, Any]:
    """Return the answer for these symbols and their statuses."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": rate_limits,
        "exchangeFilters": exchange_filters(instruments.exchange),
        "symbols": [symbol_info(instruments[symbol], status) for symbol, status in symbols.items()],
    }
