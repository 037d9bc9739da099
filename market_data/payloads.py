"""What clients read: JSON texts of the market streams and the REST rows, in Binance's field names."""

from __future__ import annotations

from typing import Any

import msgspec

from market_data.recent_trades import AggregateTrade, Trade
from schemas.events import Candle, Ticker
from schemas.instruments import Instrument
from schemas.money import format_decimal

Level = tuple[int, int] | None
"""(ticks, lots) of a best price; None when the side is empty."""

ZERO = "0.00000000"
to_json = msgspec.json.encode


def trade_event(instrument: Instrument, trade: Trade, event_time_ms: int) -> bytes:
    return to_json(
        {
            "e": "trade",
            "E": event_time_ms,
            "s": instrument.symbol,
            "t": trade.trade_id,
            "p": instrument.price_text(trade.price_ticks),
            "q": instrument.quantity_text(trade.quantity_lots),
            "T": trade.time_ms,
            "m": trade.buyer_is_maker,
            "M": True,
        }
    )


def aggregate_row(instrument: Instrument, row: AggregateTrade) -> dict[str, Any]:
    return {
        "a": row.first_trade_id,
        "p": instrument.price_text(row.price_ticks),
        "q": instrument.quantity_text(row.quantity_lots),
        "f": row.first_trade_id,
        "l": row.last_trade_id,
        "T": row.time_ms,
        "m": row.buyer_is_maker,
        "M": True,
    }


def aggregate_event(instrument: Instrument, row: AggregateTrade, event_time_ms: int) -> bytes:
    head = {"e": "aggTrade", "E": event_time_ms, "s": instrument.symbol}
    return to_json(head | aggregate_row(instrument, row))


def trade_row(instrument: Instrument, trade: Trade) -> dict[str, Any]:
    return {
        "id": trade.trade_id,
        "price": instrument.price_text(trade.price_ticks),
        "qty": instrument.quantity_text(trade.quantity_lots),
        "quoteQty": instrument.quote_text(trade.quote_minor),
        "time": trade.time_ms,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def book_ticker_event(instrument: Instrument, update_id: int, bid: Level, ask: Level) -> bytes:
    """No `e`: clients know this event by its absence."""
    bid_price, bid_quantity = _level_texts(instrument, bid)
    ask_price, ask_quantity = _level_texts(instrument, ask)
    return to_json(
        {
            "u": update_id,
            "s": instrument.symbol,
            "b": bid_price,
            "B": bid_quantity,
            "a": ask_price,
            "A": ask_quantity,
        }
    )


def book_ticker_row(instrument: Instrument, bid: Level, ask: Level) -> dict[str, Any]:
    bid_price, bid_quantity = _level_texts(instrument, bid)
    ask_price, ask_quantity = _level_texts(instrument, ask)
    return {
        "symbol": instrument.symbol,
        "bidPrice": bid_price,
        "bidQty": bid_quantity,
        "askPrice": ask_price,
        "askQty": ask_quantity,
    }


def kline_event(instrument: Instrument, candle: Candle, event_time_ms: int, *, closed: bool) -> bytes:
    return to_json(
        {
            "e": "kline",
            "E": event_time_ms,
            "s": instrument.symbol,
            "k": {
                "t": candle.open_time_ms,
                "T": candle.close_time_ms,
                "s": instrument.symbol,
                "i": candle.interval,
                "f": candle.first_trade_id,
                "L": candle.last_trade_id,
                "o": instrument.price_text(candle.open_ticks),
                "c": instrument.price_text(candle.close_ticks),
                "h": instrument.price_text(candle.high_ticks),
                "l": instrument.price_text(candle.low_ticks),
                "v": instrument.quantity_text(candle.volume_lots),
                "n": candle.trade_count,
                "x": closed,
                "q": instrument.quote_text(candle.quote_minor),
                "V": instrument.quantity_text(candle.taker_buy_lots),
                "Q": instrument.quote_text(candle.taker_buy_quote_minor),
                "B": "0",
            },
        }
    )


def kline_row(instrument: Instrument, candle: Candle) -> list[Any]:
    return [
        candle.open_time_ms,
        instrument.price_text(candle.open_ticks),
        instrument.price_text(candle.high_ticks),
        instrument.price_text(candle.low_ticks),
        instrument.price_text(candle.close_ticks),
        instrument.quantity_text(candle.volume_lots),
        candle.close_time_ms,
        instrument.quote_text(candle.quote_minor),
        candle.trade_count,
        instrument.quantity_text(candle.taker_buy_lots),
        instrument.quote_text(candle.taker_buy_quote_minor),
        "0",
    ]


def mean_price_text(instrument: Instrument, quote_minor: int, quantity_lots: int) -> str:
    """Return quote / base with 8 decimals, rounded down; zero for no quantity."""
    if not quantity_lots:
        return ZERO
    base_e8 = quantity_lots * instrument.lot_e8
    quote_e8 = quote_minor * 10 ** (8 - instrument.quote.scale)
    return format_decimal(quote_e8 * 10**8 // base_e8, 8)


def percent_text(change: int, base: int) -> str:
    """Return `change` in percent of `base` with 3 decimals, rounded half away from zero."""
    if not base:
        return "0.000"
    thousandths = (2 * abs(change) * 100_000 + base) // (2 * base)
    return format_decimal(thousandths if change >= 0 else -thousandths, 3, 3)


def ticker_row(instrument: Instrument, ticker: Ticker, bid: Level, ask: Level) -> dict[str, Any]:
    """Return the FULL form of the 24 h ticker; without trades its prices are zero and its ids -1."""
    bid_price, bid_quantity = _level_texts(instrument, bid)
    ask_price, ask_quantity = _level_texts(instrument, ask)
    change = ticker.last_ticks - ticker.open_ticks
    return {
        "symbol": instrument.symbol,
        "priceChange": instrument.price_text(change),
        "priceChangePercent": percent_text(change, ticker.open_ticks),
        "weightedAvgPrice": mean_price_text(instrument, ticker.quote_minor, ticker.volume_lots),
        "prevClosePrice": instrument.price_text(ticker.previous_close_ticks),
        "lastPrice": instrument.price_text(ticker.last_ticks),
        "lastQty": instrument.quantity_text(ticker.last_quantity_lots),
        "bidPrice": bid_price,
        "bidQty": bid_quantity,
        "askPrice": ask_price,
        "askQty": ask_quantity,
        "openPrice": instrument.price_text(ticker.open_ticks),
        "highPrice": instrument.price_text(ticker.high_ticks),
        "lowPrice": instrument.price_text(ticker.low_ticks),
        "volume": instrument.quantity_text(ticker.volume_lots),
        "quoteVolume": instrument.quote_text(ticker.quote_minor),
        "openTime": ticker.open_time_ms,
        "closeTime": ticker.close_time_ms,
        "firstId": ticker.first_trade_id,
        "lastId": ticker.last_trade_id,
        "count": ticker.trade_count,
    }


_MINI = (
    "symbol",
    "openPrice",
    "highPrice",
    "lowPrice",
    "lastPrice",
    "volume",
    "quoteVolume",
    "openTime",
    "closeTime",
    "firstId",
    "lastId",
    "count",
)
_NOT_OF_WINDOWS = ("prevClosePrice", "lastQty", "bidPrice", "bidQty", "askPrice", "askQty")
_STREAM_NAMES = {
    "symbol": "s",
    "priceChange": "p",
    "priceChangePercent": "P",
    "weightedAvgPrice": "w",
    "prevClosePrice": "x",
    "lastPrice": "c",
    "lastQty": "Q",
    "bidPrice": "b",
    "bidQty": "B",
    "askPrice": "a",
    "askQty": "A",
    "openPrice": "o",
    "highPrice": "h",
    "lowPrice": "l",
    "volume": "v",
    "quoteVolume": "q",
    "openTime": "O",
    "closeTime": "C",
    "firstId": "F",
    "lastId": "L",
    "count": "n",
}
_MINI_STREAM = ("symbol", "lastPrice", "openPrice", "highPrice", "lowPrice", "volume", "quoteVolume")


def mini_row(row: dict[str, Any]) -> dict[str, Any]:
    """Cut a FULL ticker row down to the MINI one."""
    return {name: row[name] for name in _MINI}


def window_row(row: dict[str, Any]) -> dict[str, Any]:
    """Cut a FULL ticker row down to that of a window of another width."""
    return {name: value for name, value in row.items() if name not in _NOT_OF_WINDOWS}


def window_event(row: dict[str, Any], window: str, event_time_ms: int) -> dict[str, Any]:
    return {**ticker_event(row, event_time_ms), "e": f"{window}Ticker"}


def ticker_event(row: dict[str, Any], event_time_ms: int) -> dict[str, Any]:
    event: dict[str, Any] = {"e": "24hrTicker", "E": event_time_ms}
    for name, value in row.items():
        event[_STREAM_NAMES[name]] = value
    return event


def mini_ticker_event(row: dict[str, Any], event_time_ms: int) -> dict[str, Any]:
    event: dict[str, Any] = {"e": "24hrMiniTicker", "E": event_time_ms}
    for name in _MINI_STREAM:
        event[_STREAM_NAMES[name]] = row[name]
    return event


def _level_texts(instrument: Instrument, level: Level) -> tuple[str, str]:
    if level is None:
        return ZERO, ZERO
    return instrument.price_text(level[0]), instrument.quantity_text(level[1])
