"""The matcher's record as the client reads it: shapes, statuses, fills, refusals."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ingest.order_reports import Reply, cancel_report, canceled_orders, list_report, order_report
from ingest.refusals import AMEND, CANCEL, EXPIRY, NEW_ORDER
from schemas.events import (
    BookEvent,
    CancelRefused,
    CommandMatched,
    MatchPrevented,
    OrderCanceled,
    OrderEntered,
    OrderExpired,
    OrderFilled,
    OrderHeld,
    OrderListEntered,
    OrderRefused,
    OrderRested,
    OrdersTraded,
    OrderTriggered,
    RequestRejected,
)
from schemas.instruments import Instrument, load_instruments
from schemas.orders import OrderListKind, OrderType, SelfTradePrevention, Side, TimeInForce
from schemas.public_errors import PublicError
from schemas.reasons import ExpiryReason, RejectReason
from schemas.topics import order_id_of

BTCUSDT = load_instruments()["BTCUSDT"]
AT_NS = 1_700_000_000_123_456_789
AT_MS = AT_NS // 1_000_000
OWN = order_id_of(0, 7)
"""The order of the request at the place that `record` names."""


def record(*events: BookEvent, **changes: Any) -> CommandMatched:
    fields: dict[str, Any] = {
        **{"event_id": "e", "correlation_id": "c", "causation_id": "c", "occurred_at_ns": AT_NS},
        **{"symbol": "BTCUSDT", "sequence": 5, "previous_hash": "0" * 32, "input_partition": 0},
        **{"input_offset": 4, "source_partition": 0, "source_offset": 7, "account_id": 1004},
        **{"last_update_id": 9, "last_trade_id": 2, "client_order_id": "own", "events": events},
    }
    return CommandMatched(**{**fields, **changes})


def entered(**changes: Any) -> OrderEntered:
    fields: dict[str, Any] = {
        **{"order_id": OWN, "account_id": 1004, "client_order_id": "mine", "side": Side.BUY},
        **{"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC},
        **{"price_ticks": 3_000_000, "quantity_lots": 500_000},
    }
    return OrderEntered(**{**fields, **changes})


def traded(lots: int, ticks: int = 2_999_900, trade_id: int = 1, side: Side = Side.BUY) -> OrdersTraded:
    quote = BTCUSDT.notional_minor(ticks, lots)
    return OrdersTraded(
        trade_id=trade_id,
        price_ticks=ticks,
        quantity_lots=lots,
        base_minor=lots * BTCUSDT.lot_minor,
        quote_minor=quote,
        taker_side=side,
        taker_order_id=OWN,
        taker_account_id=1004,
        taker_fee_minor=12_345,
        maker_order_id=70,
        maker_account_id=1008,
        maker_client_order_id="theirs",
        maker_fee_minor=1,
        maker_leaves_lots=0,
        buyer_lock_minor=quote,
    )


def filled(order_id: int) -> OrderFilled:
    return OrderFilled(order_id=order_id, account_id=1004, side=Side.BUY, released_minor=0)


def rested(order_id: int, leaves: int) -> OrderRested:
    return OrderRested(
        order_id=order_id, account_id=1004, side=Side.BUY, price_ticks=3_000_000, leaves_lots=leaves
    )


def expired(reason: ExpiryReason, leaves: int) -> OrderExpired:
    return OrderExpired(
        order_id=OWN, account_id=1004, side=Side.BUY, reason=reason, leaves_lots=leaves, released_minor=0
    )


ACK = {
    "symbol": "BTCUSDT",
    "orderId": OWN,
    "orderListId": -1,
    "clientOrderId": "mine",
    "transactTime": AT_MS,
}
RESTED = OrderRested(order_id=OWN, account_id=1004, side=Side.BUY, price_ticks=3_000_000, leaves_lots=500_000)


def test_ack_says_only_that_it_is_there() -> None:
    assert order_report(record(entered(), RESTED), BTCUSDT, "ACK") == ACK


def test_a_resting_order_is_new() -> None:
    result = order_report(record(entered(), RESTED), BTCUSDT, "RESULT")
    assert result == {
        **ACK,
        "price": "30000.00000000",
        "origQty": "0.50000000",
        "executedQty": "0.00000000",
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": "0.00000000",
        "status": "NEW",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "workingTime": AT_MS,
        "selfTradePreventionMode": "NONE",
    }
    assert order_report(record(entered(), RESTED), BTCUSDT, "FULL") == {**result, "fills": []}


def test_fills_carry_price_quantity_and_commission_in_what_is_received() -> None:
    events = (entered(), traded(200_000), filled(70), traded(300_000, 3_000_000, 2), filled(71), filled(OWN))
    full = order_report(record(*events), BTCUSDT, "FULL")
    assert (full["status"], full["executedQty"]) == ("FILLED", "0.50000000")
    assert full["cummulativeQuoteQty"] == "14999.80000000"
    assert full["fills"] == [
        {
            "price": "29999.00000000",
            "qty": "0.20000000",
            "commission": "0.00012345",
            "commissionAsset": "BTC",
            "tradeId": 1,
        },
        {
            "price": "30000.00000000",
            "qty": "0.30000000",
            "commission": "0.00012345",
            "commissionAsset": "BTC",
            "tradeId": 2,
        },
    ]
    sold = record(entered(side=Side.SELL), traded(500_000, side=Side.SELL), filled(OWN))
    assert order_report(sold, BTCUSDT, "FULL")["fills"][0]["commissionAsset"] == "USDT"


def test_another_orders_end_is_not_this_ones() -> None:
    part = order_report(record(entered(), traded(200_000), filled(70), RESTED), BTCUSDT, "RESULT")
    assert (part["status"], part["executedQty"]) == ("PARTIALLY_FILLED", "0.20000000")
    assert "expiryReason" not in part


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (ExpiryReason.UNFILLED_IOC_QUANTITY, "UNFILLED_IOC_QUANTITY_EXPIRED"),
        (ExpiryReason.UNFILLED_FOK_ORDER, "UNFILLED_FOK_ORDER_EXPIRED"),
        (ExpiryReason.INSUFFICIENT_LIQUIDITY, "INSUFFICIENT_LIQUIDITY"),
    ],
)
def test_an_expired_order_is_an_answer_and_no_error(reason: ExpiryReason, text: str) -> None:
    report = order_report(record(entered(), expired(reason, 500_000)), BTCUSDT, "FULL")
    assert (report["status"], report["expiryReason"], report["executedQty"]) == (
        "EXPIRED",
        text,
        "0.00000000",
    )


def test_a_market_order_shows_no_price_and_by_quote_what_it_traded() -> None:
    market = entered(order_type=OrderType.MARKET, quantity_lots=None, quote_budget_minor=600_000_000_000)
    report = order_report(record(market, traded(200_000), filled(OWN)), BTCUSDT, "RESULT")
    assert (report["price"], report["origQty"]) == ("0.00000000", "0.20000000")
    assert report["origQuoteOrderQty"] == "6000.00000000"
    capped = entered(order_type=OrderType.MARKET, quantity_lots=900_000, quote_budget_minor=1, side=Side.SELL)
    assert order_report(record(capped, traded(200_000)), BTCUSDT, "RESULT")["origQty"] == "0.20000000"


def rejected(reason: RejectReason) -> RequestRejected:
    return RequestRejected(
        **{"event_id": "e", "correlation_id": "c", "causation_id": "c", "occurred_at_ns": AT_NS},
        **{"source_partition": 0, "source_offset": 7, "account_id": 1004, "symbol": "BTCUSDT"},
        client_order_id="mine",
        reason=reason,
    )


REFUSALS = {
    RejectReason.REQUEST_EXPIRED: (-1021, "Timestamp for this request is outside of the recvWindow."),
    RejectReason.UNKNOWN_SYMBOL: (-1121, "Invalid symbol."),
    RejectReason.ACCOUNT_DISABLED: (-2010, "This account may not place or cancel orders."),
    RejectReason.MARKET_CLOSED: (-2010, "Market is closed."),
    RejectReason.DUPLICATE_CLIENT_ORDER_ID: (-2010, "Duplicate order sent."),
    RejectReason.PRICE_BAND: (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
    RejectReason.NOTIONAL_OVERFLOW: (-1013, "Filter failure: NOTIONAL"),
    RejectReason.MARKET_NOTIONAL: (-1013, "Filter failure: NOTIONAL"),
    RejectReason.MAX_NUM_ORDERS: (-1013, "Filter failure: MAX_NUM_ORDERS"),
    RejectReason.INSUFFICIENT_FUNDS: (-2010, "Account has insufficient balance for requested action."),
    RejectReason.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    RejectReason.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    RejectReason.INVALID_ORDER: (-1014, "Unsupported order combination."),
    RejectReason.WOULD_TRIGGER: (-2010, "Order would trigger immediately."),
    RejectReason.BAD_LIST_PRICES: (
        -2010,
        "The relationship of the prices for the orders is not correct.",
    ),
    RejectReason.NOT_IN_AUCTION: (-2010, "Market is closed."),
    RejectReason.INSUFFICIENT_LOCK: (-2010, "Account has insufficient balance for requested action."),
    RejectReason.MAX_NUM_ALGO_ORDERS: (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS"),
    RejectReason.MAX_NUM_ICEBERG_ORDERS: (-1013, "Filter failure: MAX_NUM_ICEBERG_ORDERS"),
    RejectReason.MAX_NUM_ORDER_LISTS: (-1013, "Filter failure: MAX_NUM_ORDER_LISTS"),
    RejectReason.EXCHANGE_MAX_NUM_ORDERS: (-1013, "Filter failure: EXCHANGE_MAX_NUM_ORDERS"),
    RejectReason.EXCHANGE_MAX_NUM_ALGO_ORDERS: (-1013, "Filter failure: EXCHANGE_MAX_NUM_ALGO_ORDERS"),
    RejectReason.EXCHANGE_MAX_NUM_ICEBERG_ORDERS: (-1013, "Filter failure: EXCHANGE_MAX_NUM_ICEBERG_ORDERS"),
    RejectReason.EXCHANGE_MAX_NUM_ORDER_LISTS: (-1013, "Filter failure: EXCHANGE_MAX_NUM_ORDER_LISTS"),
    RejectReason.MAX_POSITION: (-1013, "Filter failure: MAX_POSITION"),
    RejectReason.MAX_ASSET: (-1013, "Filter failure: MAX_ASSET"),
}
NEVER_SAID = {RejectReason.ORDER_IN_LIST, RejectReason.NOT_ATTEMPTED}
"""A leg that is named is not known by that name; what was not tried has no answer."""


@pytest.mark.parametrize("reason", list(REFUSALS))
def test_every_reason_has_its_code_and_text(reason: RejectReason) -> None:
    with pytest.raises(PublicError) as refused:
        order_report(rejected(reason), BTCUSDT, "FULL")
    assert (refused.value.status, (refused.value.code, refused.value.msg)) == (400, REFUSALS[reason])
    by_matcher = OrderRefused(order_id=OWN, account_id=1004, side=Side.BUY, reason=reason, released_minor=0)
    with pytest.raises(PublicError) as refused:
        order_report(record(entered(), by_matcher), BTCUSDT, "ACK")
    assert (refused.value.code, refused.value.msg) == REFUSALS[reason]


def test_the_tables_cover_every_reason() -> None:
    assert set(NEW_ORDER) == set(REFUSALS)
    assert set(NEW_ORDER) | set(CANCEL) | set(AMEND) | NEVER_SAID == set(RejectReason)
    assert set(EXPIRY) == set(ExpiryReason) - {ExpiryReason.SELF_TRADE_PREVENTED}


def cancel_reports(reply: Reply, instrument: Instrument) -> list[dict[str, Any]]:
    return [cancel_report(reply, order, instrument) for order in canceled_orders(reply)]


def canceled(order_id: int, leaves: int) -> OrderCanceled:
    return OrderCanceled(
        order_id=order_id,
        account_id=1004,
        client_order_id=f"order-{order_id}",
        side=Side.SELL,
        order_type=OrderType.LIMIT_MAKER,
        time_in_force=TimeInForce.GTC,
        price_ticks=3_000_000,
        quantity_lots=500_000,
        leaves_lots=leaves,
        executed_quote_minor=1_500_000_000_000 - leaves * 3_000_000,
        released_minor=0,
        entered_at_ns=AT_NS,
    )


def test_a_cancel_report_names_the_order_and_the_cancel() -> None:
    (report,) = cancel_reports(record(canceled(OWN, 300_000)), BTCUSDT)
    assert report == {
        "symbol": "BTCUSDT",
        "origClientOrderId": f"order-{OWN}",
        "orderId": OWN,
        "orderListId": -1,
        "clientOrderId": "own",
        "transactTime": AT_MS,
        "price": "30000.00000000",
        "origQty": "0.50000000",
        "executedQty": "0.20000000",
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": "6000.00000000",
        "status": "CANCELED",
        "timeInForce": "GTC",
        "type": "LIMIT_MAKER",
        "side": "SELL",
        "selfTradePreventionMode": "NONE",
    }


def test_cancel_all_reports_each_order_and_nothing_open_is_refused() -> None:
    reports = cancel_reports(record(canceled(1, 5), canceled(2, 6)), BTCUSDT)
    assert [r["orderId"] for r in reports] == [1, 2]
    nothing = record(CancelRefused(account_id=1004, reason=RejectReason.UNKNOWN_ORDER))
    for reply in (nothing, rejected(RejectReason.UNKNOWN_ORDER)):
        with pytest.raises(PublicError) as refused:
            cancel_reports(reply, BTCUSDT)
        assert (refused.value.code, refused.value.msg) == (-2011, "Unknown order sent.")
    with pytest.raises(PublicError) as refused:
        cancel_reports(rejected(RejectReason.ACCOUNT_DISABLED), BTCUSDT)
    assert (refused.value.code, refused.value.msg) == (-2011, "This account may not place or cancel orders.")


def test_what_else_the_record_tells_is_not_the_orders() -> None:
    """A triggered stop trades after it; then somebody takes what of it had rested."""
    foreign = traded(100_000, trade_id=2)
    foreign = msgspec.structs.replace(foreign, taker_order_id=5, maker_order_id=6)
    taken = traded(50_000, trade_id=3, side=Side.SELL)
    taken = msgspec.structs.replace(taken, taker_order_id=5, maker_order_id=OWN, maker_fee_minor=7)
    triggered = OrderTriggered(order_id=5, account_id=1, side=Side.SELL)
    events = (entered(), traded(200_000), rested(OWN, 300_000), triggered, foreign, taken, filled(5))
    report = order_report(record(*events), BTCUSDT, "FULL")
    assert (report["executedQty"], report["status"]) == ("0.25000000", "PARTIALLY_FILLED")
    assert [fill["tradeId"] for fill in report["fills"]] == [1, 3]
    assert report["fills"][1]["commission"] == "0.00000007"


def test_a_stop_is_new_and_not_working_until_it_is_triggered() -> None:
    stop = entered(order_type=OrderType.STOP_LOSS, stop_price_ticks=3_100_000, trailing_delta_bips=50)
    held = OrderHeld(order_id=OWN, account_id=1004, side=Side.BUY, until="triggered")
    report = order_report(record(stop, held), BTCUSDT, "RESULT")
    assert (report["status"], report["workingTime"], report["price"]) == ("NEW", -1, "0.00000000")
    assert (report["stopPrice"], report["trailingDelta"]) == ("31000.00000000", 50)


def test_self_trade_prevention_is_told() -> None:
    taker = entered(self_trade_prevention=SelfTradePrevention.EXPIRE_TAKER)
    prevented = MatchPrevented(
        prevented_match_id=4,
        account_id=1004,
        mode=SelfTradePrevention.EXPIRE_TAKER,
        price_ticks=3_000_000,
        taker_side=Side.BUY,
        taker_order_id=OWN,
        taker_prevented_lots=500_000,
        taker_released_minor=1,
        maker_order_id=3,
        maker_prevented_lots=0,
        maker_released_minor=0,
        maker_leaves_lots=9,
    )
    ended = OrderExpired(
        order_id=OWN,
        account_id=1004,
        side=Side.BUY,
        reason=ExpiryReason.SELF_TRADE_PREVENTED,
        leaves_lots=0,
        released_minor=0,
    )
    report = order_report(record(taker, prevented, ended), BTCUSDT, "FULL")
    assert (report["status"], report["preventedMatchId"]) == ("EXPIRED_IN_MATCH", 4)
    assert (report["preventedQuantity"], report["fills"]) == ("0.50000000", [])
    assert "expiryReason" not in report


def test_a_list_report_has_every_leg() -> None:
    names = {1: "working", 2: "pending"}
    listed = OrderListEntered(
        list_id=9, account_id=1004, kind=OrderListKind.OTO, client_order_id="list", order_ids=(1, 2)
    )
    legs = [entered(order_id=i, client_order_id=name, list_id=9) for i, name in names.items()]
    held = OrderHeld(order_id=2, account_id=1004, side=Side.BUY, until="working_order_filled")
    report = list_report(record(listed, *legs, held, rested(1, 500_000)), BTCUSDT, "RESULT")
    assert (report["orderListId"], report["contingencyType"]) == (9, "OTO")
    assert (report["listStatusType"], report["listOrderStatus"]) == ("EXEC_STARTED", "EXECUTING")
    assert report["orders"] == [
        {"symbol": "BTCUSDT", "orderId": i, "clientOrderId": name} for i, name in names.items()
    ]
    assert [one["status"] for one in report["orderReports"]] == ["NEW", "PENDING_NEW"]
    assert [one["orderListId"] for one in report["orderReports"]] == [9, 9]
