"""The row of an order: the same from the hot book and from the database, and what an ended one says."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.order_rows import StoredOrder, StoredTrade, open_order_row, stored_order_row, trade_row
from schemas.hot_book import OpenOrder
from schemas.instruments import load_instruments
from schemas.orders import OrderType, SelfTradePrevention, Side, TimeInForce

BTCUSDT = load_instruments()["BTCUSDT"]
AT_NS = 1_700_000_000_123_456_789


def stored(**changes: Any) -> StoredOrder:
    fields: dict[str, Any] = {
        **{"order_id": 9, "account_id": 1004, "symbol": "BTCUSDT", "client_order_id": "mine"},
        **{"side": "BUY", "order_type": "LIMIT", "time_in_force": "GTC", "price_ticks": 3_000_000},
        **{"quantity_lots": 500_000, "quote_budget_minor": None, "created_at_ns": AT_NS},
        **{"executed_lots": 200_000, "executed_quote_minor": 600_000_000_000},
        **{"ended": None, "end_reason": None, "updated_at_ns": AT_NS + 1_000_000},
    }
    return StoredOrder(**{**fields, **changes})


def test_an_open_order_reads_the_same_from_both_places() -> None:
    hot = OpenOrder(
        order_id=9,
        account_id=1004,
        client_order_id="mine",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=3_000_000,
        quantity_lots=500_000,
        leaves_lots=300_000,
        executed_quote_minor=600_000_000_000,
        entered_at_ns=AT_NS,
        updated_at_ns=AT_NS + 1_000_000,
    )
    assert open_order_row(BTCUSDT, hot) == stored_order_row(BTCUSDT, stored()) == {
        "symbol": "BTCUSDT",
        "orderId": 9,
        "orderListId": -1,
        "clientOrderId": "mine",
        "price": "30000.00000000",
        "origQty": "0.50000000",
        "executedQty": "0.20000000",
        "cummulativeQuoteQty": "6000.00000000",
        "status": "PARTIALLY_FILLED",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": AT_NS // 1_000_000,
        "updateTime": AT_NS // 1_000_000 + 1,
        "isWorking": True,
        "workingTime": AT_NS // 1_000_000,
        "origQuoteOrderQty": "0.00000000",
        "selfTradePreventionMode": "NONE",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "status", "more"),
    [
        ({"executed_lots": 0}, "NEW", {}),
        ({"ended": "FILLED"}, "FILLED", {}),
        ({"ended": "CANCELED"}, "CANCELED", {}),
        ({"ended": "EXPIRED", "end_reason": "unfilled_ioc_quantity"}, "EXPIRED",
         {"expiryReason": "UNFILLED_IOC_QUANTITY_EXPIRED"}),
        ({"ended": "REJECTED", "end_reason": "would_take"}, "REJECTED",
         {"isWorking": False, "workingTime": -1}),
        ({"order_type": "MARKET", "quantity_lots": None, "quote_budget_minor": 10**12}, "PARTIALLY_FILLED",
         {"price": "0.00000000", "origQty": "0.20000000", "origQuoteOrderQty": "10000.00000000"}),
    ],
)  # fmt: skip
def test_how_an_order_stands(changes: dict[str, Any], status: str, more: dict[str, Any]) -> None:
    row = stored_order_row(BTCUSDT, stored(**changes))
    assert row["status"] == status
    assert {name: row.get(name) for name in more} == more
    assert ("expiryReason" in row) is ("expiryReason" in more)


def test_the_labels_of_a_strategy_are_shown() -> None:
    row = stored_order_row(BTCUSDT, stored(strategy_id=7, strategy_type=1_000_001))
    assert (row["strategyId"], row["strategyType"]) == (7, 1_000_001)
    assert not {"strategyId", "strategyType"} & stored_order_row(BTCUSDT, stored()).keys()


def test_a_trade_shows_the_commission_in_what_was_received() -> None:
    trade = StoredTrade(4, 9, 3_000_000, 200_000, 600_000_000_000, 20_000, AT_NS, True, False)
    row = trade_row(BTCUSDT, trade)
    assert (row["commission"], row["commissionAsset"]) == ("0.00020000", "BTC")
    assert (row["qty"], row["quoteQty"], row["isBuyer"], row["isMaker"]) == (
        *("0.20000000", "6000.00000000"),
        *(True, False),
    )
    sold = StoredTrade(4, 9, 3_000_000, 200_000, 600_000_000_000, 600_000_000, AT_NS, False, True)
    assert trade_row(BTCUSDT, sold)["commissionAsset"] == "USDT"


def test_a_held_leg_reads_the_same_from_both_places() -> None:
    terms: dict[str, Any] = {
        "stop_price_ticks": 2_900_000,
        "trailing_delta_bips": 100,
        "self_trade_prevention": SelfTradePrevention.EXPIRE_MAKER,
        "list_id": 769,
        "prevented_lots": 100_000,
    }
    hot = OpenOrder(
        order_id=9,
        account_id=1004,
        client_order_id="mine",
        side=Side.SELL,
        order_type=OrderType.STOP_LOSS,
        time_in_force=TimeInForce.GTC,
        price_ticks=2_755_000,
        quantity_lots=500_000,
        leaves_lots=400_000,
        executed_quote_minor=0,
        entered_at_ns=AT_NS,
        updated_at_ns=AT_NS + 1_000_000,
        held_until="working_order_filled",
        **terms,
    )
    row = open_order_row(BTCUSDT, hot)
    kept = stored(
        side="SELL",
        order_type="STOP_LOSS",
        price_ticks=2_755_000,
        executed_lots=0,
        executed_quote_minor=0,
        waits_for="working_order_filled",
        **terms,
    )
    assert row == stored_order_row(BTCUSDT, kept)
    assert (row["status"], row["isWorking"], row["workingTime"]) == ("PENDING_NEW", False, -1)
    assert (row["price"], row["stopPrice"], row["orderListId"]) == ("0.00000000", "29000.00000000", 769)
    assert (row["selfTradePreventionMode"], row["preventedQuantity"]) == ("EXPIRE_MAKER", "0.10000000")


def test_an_order_that_self_trade_prevention_ended_says_so() -> None:
    row = stored_order_row(BTCUSDT, stored(ended="EXPIRED", end_reason="self_trade_prevented"))
    assert row["status"] == "EXPIRED_IN_MATCH"
    assert "expiryReason" not in row
