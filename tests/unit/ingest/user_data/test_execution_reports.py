"""What traders are told of what the real engine does: every order kind, field and ending."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.user_data.execution_reports import AccountOrders, UnknownOrder, accounts_of
from schemas.orders import OrderListKind, OrderType, SelfTradePrevention, TimeInForce
from tests.builders import ALICE, BOB, NOW_NS
from tests.unit.ingest.user_data.market import BUY, INSTRUMENTS, SELL, Market, order_terms, steps

P = 3_000_000
FIELDS = {*"eEscSofqpPFgCxXrilzLnNTtIwmMOZYQV"}


@pytest.fixture
def market() -> Market:
    return Market()


def traded(market: Market) -> Market:
    """A market whose last price is 30,000."""
    market.enter(BOB, 901, SELL, 1, P)
    market.enter(BOB, 902, BUY, 1, P)
    return market


def test_a_resting_order_is_new_and_working(market: Market) -> None:
    (report,) = market.enter(ALICE, 1, BUY, 1000, P)[ALICE]
    assert set(report) == FIELDS | {"W"}
    assert (report["x"], report["X"], report["w"], report["W"]) == ("NEW", "NEW", True, report["T"])
    assert (report["n"], report["N"], report["t"], report["g"], report["C"]) == ("0", None, -1, -1, "")


def test_the_labels_of_a_strategy_are_told_with_every_step(market: Market) -> None:
    (new,) = market.enter(ALICE, 1, BUY, 1000, P, strategy_id=7, strategy_type=1_000_001)[ALICE]
    assert set(new) == FIELDS | {"W", "j", "J"}
    (trade,) = market.enter(BOB, 2, SELL, 400, P)[ALICE]
    assert [(told["j"], told["J"]) for told in (new, trade)] == [(7, 1_000_001)] * 2


def test_each_fill_is_told_to_both_sides_with_sums(market: Market) -> None:
    market.enter(BOB, 1, SELL, 400, P)
    market.enter(BOB, 2, SELL, 400, P + 100)
    told = market.enter(ALICE, 3, BUY, 1000, P + 100)
    taker, maker = told[ALICE], told[BOB]
    assert steps(taker) == [
        (3, "NEW", "NEW"),
        (3, "TRADE", "PARTIALLY_FILLED"),
        (3, "TRADE", "PARTIALLY_FILLED"),
    ]
    assert steps(maker) == [(1, "TRADE", "FILLED"), (2, "TRADE", "FILLED")]
    assert [(e["l"], e["z"], e["L"]) for e in taker[1:]] == [
        ("0.00040000", "0.00040000", "30000.00000000"),
        ("0.00040000", "0.00080000", "30001.00000000"),
    ]
    assert [e["Z"] for e in taker[1:]] == ["12.00000000", "24.00040000"]
    assert [(e["n"], e["N"], e["m"]) for e in taker[1:]] == [("0.00000080", "BTC", False)] * 2
    assert (maker[0]["n"], maker[0]["N"], maker[0]["m"], maker[0]["w"]) == ("0.01200000", "USDT", True, False)
    assert len({e["I"] for e in taker}) == 3
    assert [e["I"] for e in taker] == sorted(e["I"] for e in taker)
    assert steps(market.enter(BOB, 4, SELL, 200, P + 100)[ALICE]) == [(3, "TRADE", "FILLED")]
    assert market.accounts[ALICE].orders == {}


def test_what_cannot_rest_expires_with_its_reason(market: Market) -> None:
    market.enter(BOB, 1, SELL, 400, P)
    ioc = market.enter(ALICE, 2, BUY, 500, P, time_in_force=TimeInForce.IOC)[ALICE]
    assert steps(ioc) == [(2, "NEW", "NEW"), (2, "TRADE", "PARTIALLY_FILLED"), (2, "EXPIRED", "EXPIRED")]
    assert (ioc[2]["eR"], ioc[2]["w"], ioc[2]["z"]) == ("UNFILLED_IOC_QUANTITY_EXPIRED", False, "0.00040000")
    fok = market.enter(ALICE, 3, BUY, 500, P, time_in_force=TimeInForce.FOK)[ALICE]
    assert (steps(fok)[-1], fok[-1]["eR"]) == ((3, "EXPIRED", "EXPIRED"), "UNFILLED_FOK_ORDER_EXPIRED")


def test_a_market_order_by_quote_shows_what_it_traded(market: Market) -> None:
    market.enter(BOB, 1, SELL, 1000, P)
    told = market.enter(ALICE, 2, BUY, None, P, order_type=OrderType.MARKET, quote_budget_minor=12_0000_0000)[
        ALICE
    ]
    assert steps(told) == [(2, "NEW", "NEW"), (2, "TRADE", "FILLED")]
    assert (told[1]["q"], told[1]["z"], told[1]["Q"], told[1]["p"]) == (
        "0.00040000",
        "0.00040000",
        "12.00000000",
        "0.00000000",
    )


def test_a_cancel_carries_its_own_id_and_the_orders(market: Market) -> None:
    market.enter(ALICE, 1, BUY, 1000, P)
    market.enter(BOB, 2, SELL, 300, P)
    (report,) = market.cancel(ALICE, 1)[ALICE]
    assert (report["x"], report["X"], report["c"], report["C"]) == ("CANCELED", "CANCELED", "cancel", "o-1")
    assert (report["z"], report["Z"], report["O"]) == ("0.00030000", "9.00000000", NOW_NS // 1_000_000)
    assert market.cancel(ALICE, 1)[ALICE] == []  # refused: nothing happened


def test_a_refused_maker_is_told_once(market: Market) -> None:
    market.enter(BOB, 1, SELL, 1000, P)
    told = market.enter(ALICE, 2, BUY, 10, P, order_type=OrderType.LIMIT_MAKER)[ALICE]
    assert steps(told) == [(2, "REJECTED", "REJECTED")]
    assert (told[0]["r"], told[0]["w"]) == ("WOULD_MATCH_IMMEDIATELY", False)
    assert market.accounts[ALICE].orders == {}


def test_a_stop_is_new_twice(market: Market) -> None:
    traded(market)
    stop = {"order_type": OrderType.STOP_LOSS_LIMIT, "stop_price_ticks": P + 100}
    (held,) = market.enter(ALICE, 1, BUY, 10, P + 200, **stop)[ALICE]
    assert (held["x"], held["X"], held["w"], held["P"]) == ("NEW", "NEW", False, "30001.00000000")
    assert "W" not in held
    market.enter(BOB, 2, SELL, 1, P + 100)
    told = market.enter(BOB, 3, BUY, 1, P + 100)[ALICE]
    assert steps(told) == [(1, "NEW", "NEW")]
    assert (told[0]["w"], told[0]["W"]) == (True, told[0]["T"])
    assert steps(market.enter(BOB, 4, SELL, 10, P + 200)[ALICE]) == [(1, "TRADE", "FILLED")]


def test_amending_and_moving_replace(market: Market) -> None:
    market.enter(ALICE, 1, BUY, 1000, P)
    (amended,) = market.amend(ALICE, 1, 600)[ALICE]
    assert (amended["x"], amended["X"], amended["c"], amended["C"]) == ("REPLACED", "NEW", "amended", "o-1")
    assert (amended["q"], amended["I"]) == ("0.00060000", market.records[-1].sequence)
    assert market.amend(ALICE, 1, 600)[ALICE] == []
    (moved,) = market.move(ALICE, 1, price_ticks=P - 100)[ALICE]
    assert (moved["x"], moved["p"], moved["c"]) == ("REPLACED", "29999.00000000", "amended")
    assert steps(market.enter(BOB, 2, SELL, 600, P - 100)[ALICE]) == [(1, "TRADE", "FILLED")]


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        (SelfTradePrevention.EXPIRE_TAKER, [(2, "TRADE_PREVENTION", "EXPIRED_IN_MATCH")]),
        (SelfTradePrevention.EXPIRE_MAKER, [(1, "TRADE_PREVENTION", "EXPIRED_IN_MATCH")]),
        (
            SelfTradePrevention.EXPIRE_BOTH,
            [(2, "TRADE_PREVENTION", "EXPIRED_IN_MATCH"), (1, "TRADE_PREVENTION", "EXPIRED_IN_MATCH")],
        ),
        (
            SelfTradePrevention.DECREMENT,
            [(2, "TRADE_PREVENTION", "NEW"), (1, "TRADE_PREVENTION", "EXPIRED_IN_MATCH")],
        ),
        (SelfTradePrevention.NONE, [(2, "TRADE", "PARTIALLY_FILLED"), (1, "TRADE", "FILLED")]),
    ],
)
def test_a_prevented_match_is_told_to_each_order_it_touched(
    market: Market, mode: SelfTradePrevention, told: list[Any]
) -> None:
    market.enter(ALICE, 1, SELL, 400, P)
    events = market.enter(ALICE, 2, BUY, 1000, P, self_trade_prevention=mode)[ALICE]
    assert steps(events) == [(2, "NEW", "NEW"), *told]
    for event in events[1:]:
        if event["x"] == "TRADE_PREVENTION":
            assert (event["v"], event["U"], event["u"], event["Cs"]) == (1, 3 - event["i"], -1, "BTCUSDT")
            assert event["pL"] == "30000.00000000"
            assert event["V"] == (mode if event["i"] == 2 else "NONE")
    open_orders = set(market.accounts[ALICE].orders)
    assert open_orders == {SelfTradePrevention.EXPIRE_TAKER: {1}, SelfTradePrevention.EXPIRE_BOTH: set()}.get(
        mode, {2}
    )


def oco(market: Market, list_id: int = 50) -> dict[int, list[dict[str, Any]]]:
    above = order_terms(51, SELL, 100, P + 1000, order_type=OrderType.LIMIT_MAKER, list_id=None)
    above.pop("list_id")
    below = order_terms(
        52, SELL, 100, P - 1200, order_type=OrderType.STOP_LOSS_LIMIT, stop_price_ticks=P - 1000
    )
    return market.enter_list(
        ALICE, list_id, OrderListKind.OCO, above, below, reserved_minor=above["reserved_minor"]
    )


def test_an_oco_begins_and_ends_as_a_list(market: Market) -> None:
    traded(market)
    told = oco(market)[ALICE]
    assert sorted(steps(told)[:2]) == [(51, "NEW", "NEW"), (52, "NEW", "NEW")]
    assert {e["i"]: e["w"] for e in told[:2]} == {51: True, 52: False}
    assert {e["g"] for e in told} == {50}
    status = told[2]
    assert set(status) == {"e", "E", "s", "g", "c", "l", "L", "r", "C", "T", "O"}
    assert (status["e"], status["c"], status["l"], status["L"], status["C"]) == (
        "listStatus",
        "OCO",
        "EXEC_STARTED",
        "EXECUTING",
        "list-50",
    )
    assert sorted(leg["i"] for leg in status["O"]) == [51, 52]
    ended = market.enter(BOB, 60, BUY, 100, P + 1000)[ALICE]
    assert steps(ended) == [(51, "TRADE", "FILLED"), (52, "EXPIRED", "EXPIRED"), (50, "ALL_DONE", "ALL_DONE")]
    assert ended[1]["eR"] == "OCO_TRIGGER"
    assert market.accounts[ALICE].lists == {}


def test_canceling_one_leg_ends_the_list(market: Market) -> None:
    traded(market)
    oco(market)
    told = market.cancel(ALICE, 52)[ALICE]
    assert sorted(steps(told)[:2]) == [(51, "CANCELED", "CANCELED"), (52, "CANCELED", "CANCELED")]
    assert steps(told)[2] == (50, "ALL_DONE", "ALL_DONE")


def test_a_pending_leg_is_new_again_when_its_turn_comes(market: Market) -> None:
    traded(market)
    working = order_terms(71, BUY, 100, P - 100)
    pending = order_terms(72, SELL, 100, P + 500)
    told = market.enter_list(
        ALICE,
        70,
        OrderListKind.OTO,
        working,
        pending,
        reserved_minor=working["reserved_minor"] + pending["reserved_minor"],
    )[ALICE]
    assert steps(told) == [(71, "NEW", "NEW"), (72, "NEW", "PENDING_NEW"), (70, "EXEC_STARTED", "EXECUTING")]
    assert (told[1]["w"], told[2]["c"]) == (False, "OTO")
    turned = market.enter(BOB, 80, SELL, 100, P - 100)[ALICE]
    assert steps(turned) == [(71, "TRADE", "FILLED"), (72, "NEW", "NEW")]
    assert turned[1]["w"] is True


def test_records_name_the_accounts_they_tell_of(market: Market) -> None:
    market.enter(BOB, 1, SELL, 400, P)
    assert accounts_of(market.records[-1]) == {BOB}
    market.enter(ALICE, 2, BUY, 400, P)
    assert accounts_of(market.records[-1]) == {ALICE, BOB}
    market.cancel(ALICE, 2)
    assert accounts_of(market.records[-1]) == set()


def test_an_order_that_was_never_seen_is_a_fault(market: Market) -> None:
    market.enter(BOB, 1, SELL, 400, P)
    market.enter(ALICE, 2, BUY, 400, P)
    stranger = AccountOrders(BOB, INSTRUMENTS)
    with pytest.raises(UnknownOrder, match="BTCUSDT order 1 "):
        stranger.take(market.records[-1])


def test_an_order_that_stands_otherwise_in_the_book_is_a_fault(market: Market) -> None:
    market.enter(BOB, 1, SELL, 400, P)
    market.accounts[BOB].orders[1].executed_lots = 100
    with pytest.raises(UnknownOrder, match="200 lots open here, 300 in the book"):
        market.enter(ALICE, 2, BUY, 100, P)
