"""Messages for the tests of replay: each sets only what a test asks for."""

from __future__ import annotations

from typing import Any

from schemas import commands, events
from schemas.codec import encode
from schemas.envelope import Message
from schemas.orders import OrderType, Side, TimeInForce
from service_runtime.event_log import Record

ENVELOPE: dict[str, Any] = {
    "event_id": "e",
    "correlation_id": "c",
    "causation_id": "c",
    "occurred_at_ns": 1_610_064_000_278_000_001,
}


def trade(trade_id: int = 1, **values: Any) -> events.TradeExecuted:
    return events.TradeExecuted(
        **ENVELOPE
        | {
            "symbol": "BTCUSDT",
            "sequence": trade_id,
            "trade_id": trade_id,
            "price_ticks": 3_943_248,
            "quantity_lots": 263,
            "base_minor": 26_300,
            "quote_minor": 1_037_074_224,
            "taker_side": Side.SELL,
            "buyer_order_id": 1,
            "buyer_account_id": 1001,
            "buyer_fee_minor": 27,
            "buyer_lock_minor": 1_037_074_224,
            "seller_order_id": 1025,
            "seller_account_id": 1002,
            "seller_fee_minor": 1_037_075,
        }
        | values
    )


def traded(**values: Any) -> events.OrdersTraded:
    return events.OrdersTraded(
        **{
            "trade_id": 1,
            "price_ticks": 3_943_248,
            "quantity_lots": 263,
            "base_minor": 26_300,
            "quote_minor": 1_037_074_224,
            "taker_side": Side.SELL,
            "taker_order_id": 1025,
            "taker_account_id": 1002,
            "taker_fee_minor": 1_037_075,
            "maker_order_id": 1,
            "maker_account_id": 1001,
            "maker_client_order_id": "m",
            "maker_fee_minor": 27,
            "maker_leaves_lots": 0,
            "buyer_lock_minor": 1_037_074_224,
        }
        | values
    )


def matched(sequence: int = 1, **values: Any) -> events.CommandMatched:
    return events.CommandMatched(
        **ENVELOPE
        | {
            "symbol": "BTCUSDT",
            "sequence": sequence,
            "previous_hash": events.GENESIS_HASH,
            "input_partition": 0,
            "input_offset": sequence - 1,
            "source_partition": 0,
            "source_offset": sequence - 1,
            "account_id": 1001,
            "last_update_id": 0,
            "last_trade_id": 0,
        }
        | values
    )


def place(**values: Any) -> commands.PlaceOrder:
    return commands.PlaceOrder(
        **ENVELOPE
        | {
            "account_id": 1001,
            "symbol": "BTCUSDT",
            "side": Side.BUY,
            "order_type": OrderType.LIMIT,
            "client_order_id": "a",
            "quantity_lots": 5,
            "price_ticks": 100,
        }
        | values
    )


def cancel(**values: Any) -> commands.CancelOrder:
    row = {"account_id": 1001, "symbol": "BTCUSDT", "client_order_id": "x", "order_id": 7}
    return commands.CancelOrder(**ENVELOPE | row | values)


def enter(source_offset: int, **values: Any) -> commands.EnterOrder:
    return commands.EnterOrder(
        **ENVELOPE
        | {
            "source_partition": 0,
            "source_offset": source_offset,
            "account_id": 1001,
            "symbol": "BTCUSDT",
            "order_id": source_offset * 1024 + 1,
            "side": Side.BUY,
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.GTC,
            "client_order_id": "a",
            "price_ticks": 100,
            "reserved_minor": 500,
            "maker_fee_ppm": 0,
            "taker_fee_ppm": 0,
        }
        | values
    )


def record(
    message: Message | bytes, offset: int = 0, *, topic: str = "t", partition: int = 0, at_ms: int = 0
) -> Record:
    value = message if isinstance(message, bytes) else encode(message)
    return Record(topic, partition, offset, value, None, at_ms)
