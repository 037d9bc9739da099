"""Columns and rows of every topic."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.commands import (
    ORDER_REQUESTS,
    VALIDATED_ORDERS,
    EnterOrderList,
    OrderTerms,
    ReplaceRestingOrder,
)
from schemas.events import ACCOUNT_EVENTS, ORDER_REPLIES, FundsDeposited, LevelChange
from schemas.instruments import load_instruments
from schemas.orders import OrderListKind, OrderType, ReplaceMode, Side, TimeInForce
from schemas.topics import load_topics
from tapehouse.replay.columns import (
    MESSAGES,
    META,
    Column,
    Kind,
    Shape,
    UnreadableRecord,
    asset_of,
    decimal_name,
    message_types,
)
from tests.unit.tapehouse.replay.messages import (
    ENVELOPE,
    cancel,
    enter,
    matched,
    place,
    record,
    trade,
    traded,
)

INSTRUMENTS = load_instruments()
TOPICS = load_topics().topics


def shape(topic: str, *, decimals: bool = False) -> Shape:
    return Shape(message_types(TOPICS[topic].messages), INSTRUMENTS, decimals=decimals)


def as_dict(found: Shape, message: object) -> dict[str, object]:
    row = found.row(record(message, 9, partition=2, at_ms=77), message)  # type: ignore[arg-type]
    names = [found.columns[place].name for place in row.places]
    assert len(set(names)) == len(names)
    return dict(zip(names, row.values, strict=True))


@pytest.mark.parametrize("decimals", [False, True])
@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_every_topic_has_columns_of_one_name_and_kind(topic: str, decimals: bool) -> None:
    columns = shape(topic, decimals=decimals).columns
    assert columns[: len(META)] == META
    assert len({column.name for column in columns}) == len(columns)
    if decimals:
        assert not [c.name for c in columns if c.name.endswith(("_ticks", "_lots", "_minor"))]


def test_integers_are_as_in_the_log() -> None:
    row = as_dict(shape("trade-execution"), trade())
    assert (row["partition"], row["offset"]) == (2, 9)
    assert (row["timestamp_ms"], row["type"]) == (77, "TradeExecuted.v1")
    assert (row["price_ticks"], row["quantity_lots"], row["quote_minor"]) == (3_943_248, 263, 1_037_074_224)
    assert (row["taker_side"], type(row["taker_side"])) == ("SELL", str)


def test_decimals_go_through_tick_lot_and_scale() -> None:
    row = as_dict(shape("trade-execution", decimals=True), trade())
    assert (row["price"], row["quantity"]) == ("39432.48000000", "0.00026300")
    assert (row["base"], row["quote"]) == ("0.00026300", "10.37074224")
    assert (row["buyer_fee"], row["seller_fee"]) == ("0.00000027", "0.01037075")
    assert Decimal(str(row["price"])) * Decimal(str(row["quantity"])) == Decimal(str(row["quote"]))


def test_types_of_one_topic_share_columns_and_leave_the_others_out() -> None:
    requests = shape("order-requests")
    assert [c.name for c in requests.columns].count("symbol") == 1
    assert as_dict(requests, place())["price_ticks"] == 100
    canceled = as_dict(requests, cancel())
    assert (canceled["order_id"], "price_ticks" in canceled) == (7, False)


def test_nested_events_are_plain_values() -> None:
    event = matched(events=(traded(),), levels=(LevelChange(side=Side.BUY, price_ticks=5, quantity_lots=0),))
    row = as_dict(shape("matched-events"), event)
    assert row["levels"] == [{"type": "LevelChange.v1", "side": "BUY", "price_ticks": 5, "quantity_lots": 0}]
    assert row["events"][0]["maker_fee_minor"] == 27  # type: ignore[index]


def test_nested_fees_are_in_the_asset_received() -> None:
    def fees(side: Side) -> tuple[object, object]:
        row = as_dict(shape("matched-events", decimals=True), matched(events=(traded(taker_side=side),)))
        event = row["events"][0]  # type: ignore[index]
        return event["taker_fee"], event["maker_fee"]

    assert fees(Side.SELL) == ("0.01037075", "0.00000027")
    scaled = traded(taker_side=Side.BUY)
    base, quote = INSTRUMENTS["BTCUSDT"].base, INSTRUMENTS["BTCUSDT"].quote
    assert asset_of(scaled, "taker_fee_minor", INSTRUMENTS["BTCUSDT"], INSTRUMENTS) is base
    assert asset_of(scaled, "maker_fee_minor", INSTRUMENTS["BTCUSDT"], INSTRUMENTS) is quote


@pytest.mark.parametrize(("side", "asset"), [(Side.BUY, "USDT"), (Side.SELL, "BTC")])
def test_reserve_is_quote_of_a_buy_and_base_of_a_sell(side: Side, asset: str) -> None:
    found = asset_of(enter(0, side=side), "reserved_minor", INSTRUMENTS["BTCUSDT"], INSTRUMENTS)
    assert found.name == asset


def test_deposit_is_in_its_own_asset() -> None:
    deposit = FundsDeposited(**ENVELOPE, account_id=1, asset="BTC", amount_minor=5, deposit_id="d")
    assert as_dict(shape("account-events", decimals=True), deposit)["amount"] == "0.00000005"


def test_every_amount_of_every_message_has_an_asset() -> None:
    instrument = INSTRUMENTS["BTCUSDT"]
    for message_type in MESSAGES.values():
        for field in msgspec.structs.fields(message_type):
            if field.name.endswith("_minor") and field.name != "amount_minor":
                probe = type("Probe", (), {"side": Side.BUY, "taker_side": Side.BUY})()
                assert asset_of(probe, field.name, instrument, INSTRUMENTS)
            assert not decimal_name(field.name).endswith(("_ticks", "_lots", "_minor"))


@pytest.mark.parametrize(
    ("topic", "union"),
    [
        ("order-requests", ORDER_REQUESTS),
        ("validated-orders", VALIDATED_ORDERS),
        ("order-replies", ORDER_REPLIES),
        ("account-events", ACCOUNT_EVENTS),
    ],
)
def test_unions_and_topics_yaml_agree(topic: str, union: Any) -> None:
    assert message_types(TOPICS[topic].messages) == list(union.__args__)


def test_a_list_and_a_replace_are_rows_with_their_orders_inside() -> None:
    terms = OrderTerms(
        order_id=5,
        side=Side.SELL,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        client_order_id="c",
        price_ticks=3_000_000,
        reserved_minor=100_000,
        quantity_lots=1_000,
    )
    common = {**ENVELOPE, "source_partition": 0, "source_offset": 1, "account_id": 1, "symbol": "BTCUSDT"}
    fees = {"maker_fee_ppm": 1, "taker_fee_ppm": 1, "client_order_id": "x"}
    replace = ReplaceRestingOrder(
        **common,
        **fees,
        cancel_order_id=4,
        mode=ReplaceMode.ALLOW_FAILURE,
        order=terms,
        reserved_minor=50_000,
    )
    both = EnterOrderList(
        **common, **fees, list_id=9, kind=OrderListKind.OCO, reserved_minor=100_000, legs=(terms, terms)
    )
    row = as_dict(shape("validated-orders", decimals=True), replace)
    assert (row["reserved"], row["order"]["price"], row["order"]["reserved"]) == (  # type: ignore[index]
        "0.00050000",
        "30000.00000000",
        "0.00100000",
    )
    listed = as_dict(shape("validated-orders", decimals=True), both)
    assert [leg["quantity"] for leg in listed["legs"]] == ["0.00100000"] * 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("message", "decimals", "said"),
    [
        (trade(symbol="DOGEUSDT"), True, "DOGEUSDT"),
        (trade(price_ticks=2**63), False, "price_ticks does not fit"),
    ],
)
def test_value_that_no_column_holds_is_unreadable(message: object, decimals: bool, said: str) -> None:
    with pytest.raises(UnreadableRecord, match=said):
        as_dict(shape("trade-execution", decimals=decimals), message)


def test_times_and_sums_have_kinds_of_their_own() -> None:
    columns = {column.name: column for column in shape("candles").columns}
    assert columns["open_time_ms"].kind is Kind.TIME_MS
    assert columns["occurred_at_ns"].kind is Kind.TIME_NS
    assert columns["quote_minor"].kind is Kind.WIDE
    assert columns["closed"] == Column("closed", Kind.BOOLEAN)
