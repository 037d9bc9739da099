"""What makes a request a poison record."""

from __future__ import annotations

import pytest

from processor.requests import Poison, Received, read_request
from schemas.codec import NewerMessage, encode
from schemas.orders import OrderListKind, OrderType, Side, TimeInForce
from schemas.topics import load_topics
from service_runtime.event_log import Record
from tests.builders import (
    amend_order,
    cancel_all_orders,
    cancel_list,
    cancel_order,
    market_order,
    place_list,
    place_order,
    profit_order,
    replace_order,
    request_market_state,
    request_tick,
    requested_order,
    stop_order,
)

TOPICS = load_topics()
SELLS_ALL = (profit_order(quantity_lots=None), stop_order(quantity_lots=None))


def _read(value: bytes, partition: int = 0):
    return read_request(Record("order-requests", partition, 7, value), TOPICS)


@pytest.mark.parametrize(
    "request_",
    [
        place_order(),
        market_order(),
        cancel_order(order_id=5),
        cancel_all_orders(),
        place_list(OrderListKind.OCO, profit_order(), stop_order()),
        place_list(OrderListKind.OPOCO, requested_order(), *SELLS_ALL),
        cancel_list(list_id=5),
        replace_order(stop_order()),
        amend_order(),
        place_order(display_lots=10),
        request_market_state(until_ns=1),
        request_tick(),
    ],
)
def test_good_requests_are_received_with_their_place(request_) -> None:
    assert _read(encode(request_)) == Received(0, 7, request_)


@pytest.mark.parametrize(
    "request_",
    [
        place_order(account_id=0),
        request_market_state(account_id=4),
        request_market_state(until_ns=0),
        request_market_state(reply_partition=0),
        request_tick(symbol="NOSUCH"),
        request_tick(account_id=4),
        place_order(account_id=2**63),
        place_order(symbol="BTC\x00"),
        place_order(symbol=""),
        place_order(client_order_id=""),
        place_order(client_order_id="x" * 37),
        place_order(client_order_id="a'; DROP"),
        place_order(reply_partition=16),
        place_order(quantity_lots=0),
        place_order(quantity_lots=2**63),
        place_order(price_ticks=-1),
        place_order(quantity_lots=None),
        place_order(quote_quantity_minor=5),
        place_order(price_ticks=None),
        place_order(quantity_lots=None, quote_quantity_minor=5),
        place_order(order_type=OrderType.LIMIT_MAKER, time_in_force=TimeInForce.IOC),
        market_order(price_ticks=5),
        cancel_order(),
        cancel_order(order_id=-1),
        cancel_order(order_id=2**53),
        cancel_order(orig_client_order_id="\x00"),
        cancel_list(),
        amend_order(quantity_lots=0),
        amend_order(orig_client_order_id=None),
        replace_order(stop_order(client_order_id="")),
        place_order(stop_price_ticks=5),
        place_order(order_type=OrderType.STOP_LOSS_LIMIT),
        place_order(order_type=OrderType.STOP_LOSS, stop_price_ticks=5),
        place_order(order_type=OrderType.STOP_LOSS_LIMIT, trailing_delta_bips=10_000),
        place_order(display_lots=1_001),
        place_order(display_lots=10, time_in_force=TimeInForce.IOC),
        place_list(OrderListKind.OCO, profit_order()),
        place_list(OrderListKind.OCO, stop_order(), profit_order()),
        place_list(OrderListKind.OCO, profit_order(client_order_id="x"), stop_order(client_order_id="x")),
        place_list(OrderListKind.OCO, profit_order(), stop_order(quantity_lots=1)),
        place_list(OrderListKind.OTO, stop_order(), profit_order()),
        place_list(OrderListKind.OTO, requested_order(), profit_order(quantity_lots=None)),
        place_list(OrderListKind.OPO, requested_order(), profit_order()),
        place_list(OrderListKind.OPO, requested_order(side=Side.SELL), profit_order(quantity_lots=None)),
    ],
)
def test_impossible_values_are_poison(request_) -> None:
    found = _read(encode(request_))
    assert isinstance(found, Poison)
    assert found.reason == "validation_error"


@pytest.mark.parametrize(
    "value", [b"", b"null", b"[]", b"\xff", b'{"type":"PlaceOrder.v1"}', b'{"type":"X.v1"}']
)
def test_what_is_no_request_is_poison(value: bytes) -> None:
    found = _read(value)
    assert isinstance(found, Poison)
    assert found.reason == "decode_error"


def test_an_account_on_another_partition_is_poison() -> None:
    found = _read(encode(place_order()), partition=3)
    assert isinstance(found, Poison)
    assert found.reason == "wrong_partition"


def test_a_newer_major_version_stops_the_reader() -> None:
    with pytest.raises(NewerMessage):
        _read(encode(place_order()).replace(b"PlaceOrder.v1", b"PlaceOrder.v2"))
