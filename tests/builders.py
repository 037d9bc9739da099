"""One builder per message, so that a test sets only what matters."""

from __future__ import annotations

from typing import Any

from schemas.codec import encode, record_hash
from schemas.commands import (
    OPERATOR_ACCOUNT,
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    CancelOrderList,
    EnterOrder,
    PlaceOrder,
    PlaceOrderList,
    ReplaceOrder,
    RequestedOrder,
    RequestMarketState,
    RequestTick,
)
from schemas.envelope import Message
from schemas.events import (
    GENESIS_HASH,
    AccountOpened,
    BookEvent,
    CommandMatched,
    FundsDeposited,
    TradeExecuted,
)
from schemas.orders import MarketState, OrderListKind, OrderType, ReplaceMode, Side, TimeInForce

NOW_NS = 1_700_000_000_000_000_000
ALICE, BOB = 1004, 1008


def envelope(name: str = "e-1") -> dict[str, Any]:
    return {"event_id": name, "correlation_id": name, "causation_id": name, "occurred_at_ns": NOW_NS}


def place_order(**changes: Any) -> PlaceOrder:
    """A GTC limit BUY of 1,000 lots of BTCUSDT at 3,000,000 ticks (0.001 BTC at 30,000 USDT)."""
    terms: dict[str, Any] = {
        "account_id": ALICE,
        "symbol": "BTCUSDT",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "client_order_id": "c-1",
        "quantity_lots": 1_000,
        "price_ticks": 3_000_000,
    }
    return PlaceOrder(**{**envelope(), **terms, **changes})


def market_order(**changes: Any) -> PlaceOrder:
    """A market BUY of 1,000 lots of BTCUSDT."""
    return place_order(**{"order_type": OrderType.MARKET, "price_ticks": None, **changes})


def cancel_order(**changes: Any) -> CancelOrder:
    terms: dict[str, Any] = {"account_id": ALICE, "symbol": "BTCUSDT", "client_order_id": "cancel-1"}
    return CancelOrder(**{**envelope(), **terms, **changes})


def cancel_all_orders(**changes: Any) -> CancelAllOrders:
    terms: dict[str, Any] = {"account_id": ALICE, "symbol": "BTCUSDT", "client_order_id": "cancel-1"}
    return CancelAllOrders(**{**envelope(), **terms, **changes})


def request_market_state(**changes: Any) -> RequestMarketState:
    """The operator halts BTCUSDT."""
    terms: dict[str, Any] = {"account_id": OPERATOR_ACCOUNT, "symbol": "BTCUSDT", "state": MarketState.HALT}
    return RequestMarketState(**{**envelope(), **terms, **changes})


def request_tick(**changes: Any) -> RequestTick:
    return RequestTick(**{**envelope(), "account_id": OPERATOR_ACCOUNT, "symbol": "BTCUSDT", **changes})


def requested_order(**changes: Any) -> RequestedOrder:
    """The order of `place_order()` as a part of another request."""
    terms: dict[str, Any] = {
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "client_order_id": "c-1",
        "quantity_lots": 1_000,
        "price_ticks": 3_000_000,
    }
    return RequestedOrder(**{**terms, **changes})


def stop_order(**changes: Any) -> RequestedOrder:
    """A market stop that sells 1,000 lots when the price falls to 2,900,000 ticks."""
    terms: dict[str, Any] = {
        "side": Side.SELL,
        "order_type": OrderType.STOP_LOSS,
        "client_order_id": "stop-1",
        "price_ticks": None,
        "stop_price_ticks": 2_900_000,
    }
    return requested_order(**{**terms, **changes})


def profit_order(**changes: Any) -> RequestedOrder:
    """A LIMIT_MAKER that sells 1,000 lots at 3,200,000 ticks."""
    terms: dict[str, Any] = {
        "side": Side.SELL,
        "order_type": OrderType.LIMIT_MAKER,
        "client_order_id": "profit-1",
        "price_ticks": 3_200_000,
    }
    return requested_order(**{**terms, **changes})


def place_list(kind: OrderListKind, *legs: RequestedOrder, **changes: Any) -> PlaceOrderList:
    terms: dict[str, Any] = {"account_id": ALICE, "symbol": "BTCUSDT", "client_order_id": "list-1"}
    return PlaceOrderList(**{**envelope(), **terms, "kind": kind, "legs": legs, **changes})


def cancel_list(**changes: Any) -> CancelOrderList:
    terms: dict[str, Any] = {"account_id": ALICE, "symbol": "BTCUSDT", "client_order_id": "cancel-1"}
    return CancelOrderList(**{**envelope(), **terms, **changes})


def replace_order(order: RequestedOrder, **changes: Any) -> ReplaceOrder:
    """Replace c-1 with `order`."""
    terms: dict[str, Any] = {
        "account_id": ALICE,
        "symbol": "BTCUSDT",
        "client_order_id": "cancel-1",
        "mode": ReplaceMode.STOP_ON_FAILURE,
        "order": order,
        "cancel_orig_client_order_id": "c-1",
    }
    return ReplaceOrder(**{**envelope(), **terms, **changes})


def amend_order(**changes: Any) -> AmendOrder:
    """Lower order c-1 to 400 lots."""
    terms: dict[str, Any] = {
        "account_id": ALICE,
        "symbol": "BTCUSDT",
        "client_order_id": "c-2",
        "quantity_lots": 400,
        "orig_client_order_id": "c-1",
    }
    return AmendOrder(**{**envelope(), **terms, **changes})


def enter_order(**changes: Any) -> EnterOrder:
    """What the processor makes of `place_order()` when it is the first request of partition 0."""
    terms: dict[str, Any] = {
        "source_partition": 0,
        "source_offset": 0,
        "account_id": ALICE,
        "symbol": "BTCUSDT",
        "order_id": 1,
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "client_order_id": "c-1",
        "price_ticks": 3_000_000,
        "reserved_minor": 3_000_000_000,
        "maker_fee_ppm": 1000,
        "taker_fee_ppm": 1000,
        "quantity_lots": 1_000,
    }
    return EnterOrder(**{**envelope(), **terms, **changes})


def trade_executed(**changes: Any) -> TradeExecuted:
    """ALICE buys 1,000 lots of BTCUSDT of BOB at 3,000,000 ticks, at the price she had locked."""
    terms: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "sequence": 1,
        "trade_id": 1,
        "price_ticks": 3_000_000,
        "quantity_lots": 1_000,
        "base_minor": 100_000,
        "quote_minor": 3_000_000_000,
        "taker_side": Side.BUY,
        "buyer_order_id": 1,
        "buyer_account_id": ALICE,
        "buyer_fee_minor": 100,
        "buyer_lock_minor": 3_000_000_000,
        "seller_order_id": 2,
        "seller_account_id": BOB,
        "seller_fee_minor": 3_000_000,
    }
    return TradeExecuted(**{**envelope(), **terms, **changes})


def account_opened(**changes: Any) -> AccountOpened:
    terms: dict[str, Any] = {
        "account_id": ALICE,
        "name": "alice",
        "maker_fee_ppm": 1000,
        "taker_fee_ppm": 1000,
    }
    return AccountOpened(**{**envelope(), **terms, **changes})


def funds_deposited(**changes: Any) -> FundsDeposited:
    terms: dict[str, Any] = {
        "account_id": ALICE,
        "asset": "USDT",
        "amount_minor": 100_000_000_000_000,
        "deposit_id": "d-1",
    }
    return FundsDeposited(**{**envelope(), **terms, **changes})


class MatchedChain:
    """Makes the `matched-events` of one symbol: sequence and hash follow from the record before."""

    def __init__(self, symbol: str = "BTCUSDT") -> None:
        self.symbol = symbol
        self.sequence = 0
        self.previous_hash = GENESIS_HASH
        self.last_trade_id = 0

    def next(self, *events: BookEvent, **changes: Any) -> bytes:
        """Return the bytes of the next record."""
        self.sequence += 1
        terms: dict[str, Any] = {
            "symbol": self.symbol,
            "sequence": self.sequence,
            "previous_hash": self.previous_hash,
            "input_partition": 0,
            "input_offset": self.sequence - 1,
            "source_partition": 0,
            "source_offset": self.sequence - 1,
            "account_id": ALICE,
            "last_update_id": 0,
            "last_trade_id": self.last_trade_id,
            "events": events,
        }
        data = encode(CommandMatched(**{**envelope(f"m-{self.sequence}"), **terms, **changes}))
        self.previous_hash = record_hash(data)
        return data


def raw(message: Message) -> bytes:
    return encode(message)
