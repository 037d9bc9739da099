"""POST /order's parameters: every refusal of RELIABILITY.md section 4 rows 26 to 34 and 40, word for word."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.order_form import OrderForm, read_order
from schemas.instruments import load_instruments
from schemas.money import format_decimal
from schemas.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from schemas.public_errors import PublicError
from schemas.public_parameters import Parameters

INSTRUMENTS = load_instruments()
LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.5",
    "price": "30000",
}
MARKET = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.5"}
SYMBOL = "^[A-Z0-9-_.]{1,20}$"
DECIMAL = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"


STOP_MISSING = "Param 'stopPrice' or 'trailingDelta' must be sent, but both were empty/null!"


def read(base: dict[str, str] | None = None, drop: tuple[str, ...] = (), **changes: str) -> OrderForm:
    values = {**(LIMIT if base is None else base), **changes}
    for name in drop:
        del values[name]
    return read_order(INSTRUMENTS, Parameters(values), lambda: "generated")


def refusal(*args: Any, **changes: Any) -> tuple[int, str]:
    with pytest.raises(PublicError) as refused:
        read(*args, **changes)
    assert refused.value.status == 400
    return refused.value.code, refused.value.msg


def test_a_limit_order_becomes_ticks_and_lots() -> None:
    form = read(newClientOrderId="mine", timeInForce="IOC")
    assert (form.side, form.order_type, form.time_in_force) == (Side.BUY, OrderType.LIMIT, TimeInForce.IOC)
    assert (form.price_ticks, form.quantity_lots, form.quote_quantity_minor) == (3_000_000, 500_000, None)
    assert (form.client_order_id, form.response_type) == ("mine", "FULL")


def test_what_is_not_said_has_its_default() -> None:
    assert read().client_order_id == "generated"
    maker = read(drop=("timeInForce",), type="LIMIT_MAKER")
    assert (maker.time_in_force, maker.response_type) == (TimeInForce.GTC, "ACK")
    market = read(MARKET)
    assert (market.price_ticks, market.quantity_lots, market.response_type) == (None, 500_000, "FULL")
    by_quote = read(MARKET, drop=("quantity",), quoteOrderQty="100.5", newOrderRespType="RESULT")
    assert (by_quote.quantity_lots, by_quote.quote_quantity_minor) == (None, 10_050_000_000)
    assert by_quote.response_type == "RESULT"


@pytest.mark.parametrize(
    "text",
    ["1e-8", "1E400", "NaN", "Infinity", "-0", "-1", "+1", " 1", "1 ", "1,000", "0x10", "1.", ".5", "1..2",
     "\u0661", "1\u0000", "9" * 21, "1" * 400, "0." + "1" * 21, "1_000", "\uff11"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["quantity", "price"])
def test_what_is_no_plain_decimal_is_refused(name: str, text: str) -> None:
    expected = f"Illegal characters found in parameter '{name}'; legal range is '{DECIMAL}'."
    assert refusal(**{name: text}) == (-1100, expected)


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,9})?", fullmatch=True))
@example("1.0000000")  # zeros behind the last step lose nothing
def test_a_quantity_is_a_plain_decimal_or_refused(text: str) -> None:
    plain = re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", text, re.ASCII)
    if plain is None:
        assert refusal(quantity=text, price="0.01")[0] in (-1100, -1102)
    elif Decimal("1") <= Decimal(text) <= 9000 and (lots := Decimal(text) * 10**6) == int(lots):
        assert read(quantity=text, price="0.01").quantity_lots == lots
    else:
        assert refusal(quantity=text, price="0.01")[0] in (-1111, -1013)


@given(st.integers(1_000_000, 9_000_000_000), st.integers(0, 2))
def test_any_quantity_in_steps_is_read_exactly(lots: int, zeros: int) -> None:
    text = format_decimal(lots, 6, 6) + "0" * zeros
    assert read(quantity=text, price="0.01").quantity_lots == lots


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"quantity": "0"}, (-1013, "Filter failure: LOT_SIZE")),
        ({"quantity": "0.00000000"}, (-1013, "Filter failure: LOT_SIZE")),
        ({"price": "0"}, (-1013, "Filter failure: PRICE_FILTER")),
        ({"price": "30000.001"}, (-1013, "Filter failure: PRICE_FILTER")),
        ({"price": "1000000.01"}, (-1013, "Filter failure: PRICE_FILTER")),
        ({"price": "99999999999999999999"}, (-1013, "Filter failure: PRICE_FILTER")),
        ({"quantity": "0.0000005"}, (-1013, "Filter failure: LOT_SIZE")),
        ({"quantity": "9000.000001"}, (-1013, "Filter failure: LOT_SIZE")),
        ({"quantity": "99999999999999999999"}, (-1013, "Filter failure: LOT_SIZE")),
        ({"quantity": "0.000001", "price": "0.01"}, (-1013, "Filter failure: NOTIONAL")),
        ({"quantity": "9000", "price": "1000000"}, (-1013, "Filter failure: NOTIONAL")),
        ({"quantity": "0.000000001"}, (-1111, "Parameter 'quantity' has too much precision.")),
        ({"price": "1.123456789"}, (-1111, "Parameter 'price' has too much precision.")),
        ({"price": "30000.001", "quantity": "0"}, (-1013, "Filter failure: PRICE_FILTER")),
        ({"price": "x", "quantity": "0"}, (-1100, None)),
    ],
)
def test_precision_and_filters_are_checked_in_order(
    changes: dict[str, str], expected: tuple[int, str]
) -> None:
    code, text = refusal(**changes)
    assert code == expected[0]
    assert expected[1] in (None, text)


def test_of_all_that_is_wrong_the_first_check_speaks() -> None:
    """Each repair lets the next check of the documented order speak."""
    wrong = {
        "type": "STOP_LOSS_LIMIT",
        "side": "X",
        "price": "0.0100000001",
        "stopPrice": "0.02",
        "trailingDelta": "9",
        "quantity": "0",
        "icebergQty": "0.000001",
    }
    repairs: list[tuple[dict[str, str], tuple[int, str]]] = [
        ({}, (-1117, "Invalid side.")),
        ({"side": "BUY"}, (-1111, "Parameter 'price' has too much precision.")),
        ({"price": "0.015"}, (-1013, "Filter failure: PRICE_FILTER")),
        ({"price": "0.01"}, (-1013, "Filter failure: TRAILING_DELTA")),
        ({"trailingDelta": "10"}, (-1013, "Filter failure: LOT_SIZE")),
        ({"quantity": "0.001"}, (-1013, "Filter failure: NOTIONAL")),
        ({"price": "1000"}, (-1013, "Filter failure: ICEBERG_PARTS")),
    ]
    for repair, expected in repairs:
        wrong |= repair
        assert refusal(**wrong) == expected
    assert read(**wrong | {"icebergQty": "0.00001"}).display_lots == 10


def test_a_market_order_has_its_own_lot_size_and_notional() -> None:
    assert read(MARKET, quantity="150").quantity_lots == 150_000_000
    assert refusal(MARKET, quantity="150.000001") == (-1013, "Filter failure: MARKET_LOT_SIZE")
    by_quote = {k: v for k, v in MARKET.items() if k != "quantity"}
    assert refusal(by_quote, quoteOrderQty="0.001") == (-1013, "Filter failure: NOTIONAL")
    assert refusal(by_quote, quoteOrderQty="9000000.01") == (-1013, "Filter failure: NOTIONAL")


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("NOSUCH", (-1121, "Invalid symbol.")),
        ("btcusdt", (-1100, f"Illegal characters found in parameter 'symbol'; legal range is '{SYMBOL}'.")),
        ("BTC/USDT", (-1100, None)),
        ("BTCUSDT\0", (-1100, None)),
        ("../../etc", (-1100, None)),
        ("B" * 21, (-1100, None)),
        ("", (-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")),
    ],
)  # fmt: skip
def test_an_unlisted_symbol_is_refused(symbol: str, expected: tuple[int, str | None]) -> None:
    code, text = refusal(symbol=symbol)
    assert code == expected[0]
    assert expected[1] in (None, text)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"side": "HOLD"}, (-1117, "Invalid side.")),
        ({"side": "buy"}, (-1117, "Invalid side.")),
        ({"type": "LOTTERY"}, (-1116, "Invalid orderType.")),
        ({"timeInForce": "GTX"}, (-1115, "Invalid timeInForce.")),
        ({"type": "LIMIT_MAKER"}, (-1106, "Parameter 'timeInForce' sent when not required.")),
        ({"type": "MARKET"}, (-1106, "Parameter 'timeInForce' sent when not required.")),
        ({"quoteOrderQty": "1"}, (-1106, "Parameter 'quoteOrderQty' sent when not required.")),
        ({"stopPrice": "1"}, (-1106, "Parameter 'stopPrice' sent when not required.")),
        ({"type": "STOP_LOSS"}, (-1106, "Parameter 'timeInForce' sent when not required.")),
        ({"type": "STOP_LOSS_LIMIT"}, (-1102, STOP_MISSING)),
        ({"type": "TAKE_PROFIT_LIMIT"}, (-1102, STOP_MISSING)),
        ({"type": "STOP_LOSS_LIMIT", "stopPrice": "0.001"}, (-1013, "Filter failure: PRICE_FILTER")),
        ({"type": "STOP_LOSS_LIMIT", "trailingDelta": "9"}, (-1013, "Filter failure: TRAILING_DELTA")),
        ({"type": "STOP_LOSS_LIMIT", "trailingDelta": "2001"}, (-1013, "Filter failure: TRAILING_DELTA")),
        ({"trailingDelta": "100"}, (-1106, "Parameter 'trailingDelta' sent when not required.")),
        ({"icebergQty": "1"}, (-2010, "IcebergQty exceeds QTY.")),
        ({"icebergQty": "0"}, (-1013, "Filter failure: LOT_SIZE")),
        ({"icebergQty": "0.004999"}, (-1013, "Filter failure: ICEBERG_PARTS")),
        ({"icebergQty": "0.1", "timeInForce": "IOC"}, (-1014, "Unsupported order combination.")),
        ({"pegPriceType": "PRIMARY_PEG"}, (-2010, "Pegged orders are not supported for this symbol.")),
        (
            {"selfTradePreventionMode": "TRANSFER"},
            (-1013, "This symbol does not allow the specified self-trade prevention mode."),
        ),
        (
            {"selfTradePreventionMode": "X"},
            (-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid."),
        ),
        ({"newOrderRespType": "X"}, (-1130, "Data sent for parameter 'newOrderRespType' is not valid.")),
        ({"strategyType": "999999"}, (-1134, "strategyType was less than 1000000.")),
        ({"price": ""}, (-1102, "Mandatory parameter 'price' was not sent, was empty/null, or malformed.")),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(changes: dict[str, str], expected: tuple[int, str]) -> None:
    assert refusal(**changes) == expected


@pytest.mark.parametrize("name", ["symbol", "side", "type", "timeInForce", "quantity", "price"])
def test_what_a_limit_order_needs_is_mandatory(name: str) -> None:
    text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    assert refusal(drop=(name,)) == (-1102, text)


def test_a_market_order_takes_one_kind_of_quantity() -> None:
    either = "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"
    assert refusal(MARKET, drop=("quantity",)) == (-1102, either)
    assert refusal(MARKET, quoteOrderQty="5") == (-1128, "Combination of optional parameters invalid.")
    assert refusal(MARKET, price="5") == (-1106, "Parameter 'price' sent when not required.")


@pytest.mark.parametrize(
    "text", ["a" * 37, "\U0001f600", "..\\", "a b", "'; DROP TABLE orders", "a\r\nb", "a\0"]
)
def test_a_client_order_id_is_of_legal_characters(text: str) -> None:
    expected = (
        "Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_.:/]{1,36}$'."
    )
    assert refusal(newClientOrderId=text) == (-1100, expected)


@pytest.mark.parametrize("base", [LIMIT, MARKET])
def test_the_labels_of_a_strategy_are_kept(base: dict[str, str]) -> None:
    form = read(base, strategyId="37463720", strategyType="1000000")
    assert (form.strategy_id, form.strategy_type) == (37463720, 1_000_000)
    asked = form.requested()
    assert (asked.strategy_id, asked.strategy_type) == (37463720, 1_000_000)
    assert (read(base).strategy_id, read(base).strategy_type) == (None, None)


def test_an_empty_client_order_id_is_refused_and_a_path_is_only_text() -> None:
    assert refusal(newClientOrderId="") == (-1118, "New client order ID was empty.")
    assert read(newClientOrderId="../a.b:c/D-_" + "9" * 24).client_order_id.startswith("../")


def test_a_stop_is_read_with_its_trigger() -> None:
    stop = read(type="STOP_LOSS_LIMIT", stopPrice="29000", trailingDelta="150", timeInForce="FOK")
    assert (stop.order_type, stop.time_in_force) == (OrderType.STOP_LOSS_LIMIT, TimeInForce.FOK)
    assert (stop.stop_price_ticks, stop.trailing_delta_bips) == (2_900_000, 150)
    assert stop.response_type == "ACK"
    market = read(MARKET, type="TAKE_PROFIT", trailingDelta="10")
    assert (market.price_ticks, market.stop_price_ticks, market.trailing_delta_bips) == (None, None, 10)
    assert refusal(MARKET, type="STOP_LOSS", stopPrice="1", quantity="151") == (
        -1013,
        "Filter failure: MARKET_LOT_SIZE",
    )
    assert refusal(MARKET, type="STOP_LOSS", stopPrice="1", icebergQty="1")[0] == -1106


def test_an_iceberg_and_a_mode_of_self_trade_prevention_are_read() -> None:
    form = read(icebergQty="0.005", selfTradePreventionMode="DECREMENT")
    assert form.display_lots == 5_000
    assert form.self_trade_prevention is SelfTradePrevention.DECREMENT
    assert form.requested().display_lots == 5_000
