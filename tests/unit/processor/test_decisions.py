"""Decisions of a batch: the order of checks, cancels, client order ids, and a slow model of balances."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.decisions import decide
from processor.order_limits import limit_of
from processor.outcomes import Outcome
from processor.requests import Received
from processor.reservations import Market
from processor.view import Account, Counted, KnownList, KnownOrder, View, request_terms, stored_terms
from schemas.commands import (
    AmendRestingOrder,
    CancelRestingList,
    CancelRestingOrder,
    CancelRestingOrders,
    EnterOrder,
    EnterOrderList,
    ReplaceRestingOrder,
    SetMarketState,
    Tick,
)
from schemas.events import RequestRejected
from schemas.instruments import load_instruments
from schemas.orders import MarketState, OrderListKind, OrderType, ReplaceMode, Side, TimeInForce
from schemas.reasons import RejectReason
from schemas.topics import list_id_of, order_id_of
from tests.builders import (
    ALICE,
    BOB,
    NOW_NS,
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

INSTRUMENTS = load_instruments()
COST = 3_000_000_000
VIEW = View(
    accounts={ALICE: Account(True, 100, 200), BOB: Account(True, 0, 0), 5000: Account(False, 0, 0)},
    available={(ALICE, "USDT"): 10 * COST, (BOB, "USDT"): 10 * COST, (ALICE, "BTC"): 10_000_000},
    newest={},
    orders={},
    open_counts={},
    markets={"BTCUSDT": Market(2_999_000, 3_001_000, 3_000_000)},
)


def _decide(*requests: Any, now_ns: int = NOW_NS, **changes: Any) -> list[Outcome]:
    received = [Received(0, offset, request) for offset, request in enumerate(requests)]
    return decide(received, msgspec.structs.replace(VIEW, **changes), INSTRUMENTS, now_ns).outcomes


def _reason(*requests: Any, **changes: Any) -> RejectReason:
    outcome = _decide(*requests, **changes)[-1]
    assert isinstance(outcome, RequestRejected)
    return outcome.reason


def _known(**changes: Any) -> KnownOrder:
    terms = request_terms(place_order())
    return msgspec.structs.replace(
        KnownOrder(77, ALICE, "BTCUSDT", "c-1", terms, NOW_NS - 10**9, True), **changes
    )


def test_an_accepted_order_carries_place_fees_time_and_cause() -> None:
    (entered,) = _decide(place_order(reply_partition=3))
    assert isinstance(entered, EnterOrder)
    assert (entered.order_id, entered.source_partition, entered.source_offset) == (order_id_of(0, 0), 0, 0)
    assert (entered.maker_fee_ppm, entered.taker_fee_ppm, entered.reply_partition) == (100, 200, 3)
    assert (entered.causation_id, entered.correlation_id, entered.occurred_at_ns) == ("e-1", "e-1", NOW_NS)


def test_reasons_come_in_the_documented_order() -> None:
    """A request with every fault at once; one fault after the other is mended."""
    order = place_order(
        expires_at_ns=NOW_NS - 1, symbol="NOPE", account_id=5000, price_ticks=100, quantity_lots=1_000
    )
    duplicate = {(5000, "BTCUSDT", "c-1"): _known(account_id=5000), (ALICE, "BTCUSDT", "c-1"): _known()}
    full = {(ALICE, "BTCUSDT"): 1000, (5000, "BTCUSDT"): 1000}
    world = {"newest": duplicate, "open_counts": full, "available": {}}

    def next_reason(**mended: Any) -> RejectReason:
        nonlocal order
        order = msgspec.structs.replace(order, **mended)
        return _reason(order, **world)

    assert next_reason() is RejectReason.REQUEST_EXPIRED
    assert next_reason(expires_at_ns=NOW_NS) is RejectReason.UNKNOWN_SYMBOL
    assert next_reason(symbol="BTCUSDT") is RejectReason.ACCOUNT_DISABLED
    assert next_reason(account_id=ALICE) is RejectReason.DUPLICATE_CLIENT_ORDER_ID
    assert next_reason(client_order_id="c-2") is RejectReason.PRICE_BAND
    assert next_reason(price_ticks=3_000_000) is RejectReason.MAX_NUM_ORDERS
    world["open_counts"] = {}
    assert next_reason() is RejectReason.INSUFFICIENT_FUNDS
    world["available"] = VIEW.available
    assert isinstance(_decide(order, **world)[0], EnterOrder)


def test_the_same_id_is_refused_within_a_batch() -> None:
    first, second = _decide(place_order(), place_order(price_ticks=2_999_999))
    assert isinstance(first, EnterOrder)
    assert isinstance(second, RequestRejected)
    assert second.reason is RejectReason.DUPLICATE_CLIENT_ORDER_ID


@pytest.mark.parametrize(
    ("known", "refused"),
    [
        (_known(), True),
        (_known(terms=("other",)), True),
        (_known(is_open=False), True),
        (_known(is_open=False, terms=("other",)), False),
        (_known(is_open=False, created_at_ns=NOW_NS - 60 * 10**9), False),
    ],
)
def test_an_id_is_free_once_its_order_has_ended_unless_it_is_a_retry(
    known: KnownOrder, refused: bool
) -> None:
    (outcome,) = _decide(place_order(), newest={(ALICE, "BTCUSDT", "c-1"): known})
    assert isinstance(outcome, RequestRejected) is refused


def test_terms_are_the_same_from_a_request_and_from_its_row() -> None:
    by_quote = market_order(quantity_lots=None, quote_quantity_minor=9, side=Side.SELL)
    assert stored_terms("SELL", "MARKET", "GTC", 123, 55, 9) == request_terms(by_quote)
    assert stored_terms("BUY", "MARKET", "GTC", 123, 1_000, None) == request_terms(market_order())
    assert stored_terms("BUY", "LIMIT", "GTC", 3_000_000, 1_000, None) == request_terms(place_order())


def test_cancels_name_orders_of_the_account_and_symbol_only() -> None:
    orders = {77: _known(), 78: _known(order_id=78, is_open=False)}
    newest = {(ALICE, "BTCUSDT", "c-1"): _known()}
    good = [
        cancel_order(order_id=77),
        cancel_order(orig_client_order_id="c-1"),
        cancel_order(order_id=77, orig_client_order_id="c-1"),
    ]
    for outcome in _decide(*good, orders=orders, newest=newest):
        assert isinstance(outcome, CancelRestingOrder)
        assert outcome.order_id == 77
    bad = [
        cancel_order(order_id=79),
        cancel_order(order_id=78),
        cancel_order(order_id=77, account_id=BOB),
        cancel_order(order_id=77, symbol="ETHUSDT"),
        cancel_order(order_id=77, orig_client_order_id="c-2"),
        cancel_order(orig_client_order_id="c-2"),
        cancel_order(orig_client_order_id="c-1", account_id=BOB),
    ]
    for outcome in _decide(*bad, orders=orders, newest=newest):
        assert isinstance(outcome, RequestRejected)
        assert outcome.reason is RejectReason.UNKNOWN_ORDER


def test_a_cancel_sees_the_orders_of_its_own_batch() -> None:
    outcomes = _decide(place_order(), cancel_order(orig_client_order_id="c-1"), cancel_order(order_id=1))
    assert [type(o) for o in outcomes] == [EnterOrder, CancelRestingOrder, CancelRestingOrder]


def test_cancel_all_goes_to_the_matcher() -> None:
    assert isinstance(_decide(cancel_all_orders())[0], CancelRestingOrders)


def test_orders_that_cannot_rest_are_not_counted() -> None:
    full = {(ALICE, "BTCUSDT"): 1000}
    ioc = place_order(time_in_force=TimeInForce.IOC)
    outcomes = _decide(
        ioc, market_order(client_order_id="c-2"), place_order(client_order_id="c-3"), open_counts=full
    )
    assert [type(o) for o in outcomes] == [EnterOrder, EnterOrder, RequestRejected]


def test_the_limit_counts_what_the_batch_accepted() -> None:
    orders = [place_order(client_order_id=f"c-{n}", quantity_lots=1) for n in range(5)]
    outcomes = _decide(*orders, open_counts={(ALICE, "BTCUSDT"): 997})
    assert [isinstance(o, EnterOrder) for o in outcomes] == [True] * 3 + [False] * 2


_orders = st.lists(
    st.builds(
        place_order,
        account_id=st.sampled_from([ALICE, BOB]),
        side=st.sampled_from(Side),
        order_type=st.sampled_from([OrderType.LIMIT, OrderType.LIMIT_MAKER]),
        quantity_lots=st.integers(1, 5_000),
        price_ticks=st.integers(2_000_000, 4_000_000),
    ),
    max_size=30,
)
_balances = st.fixed_dictionaries(
    {(a, asset): st.integers(0, 10 * COST) for a in (ALICE, BOB) for asset in ("BTC", "USDT")}
)


@given(orders=_orders, balances=_balances)
def test_a_batch_spends_as_if_each_order_came_alone(
    orders: list[Any], balances: dict[tuple[int, str], int]
) -> None:
    requests = [msgspec.structs.replace(o, client_order_id=f"c-{n}") for n, o in enumerate(orders)]
    received = [Received(0, n, request) for n, request in enumerate(requests)]
    decisions = decide(received, msgspec.structs.replace(VIEW, available=balances), INSTRUMENTS, NOW_NS)
    left = dict(balances)
    for request, outcome in zip(requests, decisions.outcomes, strict=True):
        buys = request.side is Side.BUY
        cost = request.quantity_lots * (request.price_ticks if buys else 100)
        wallet = (request.account_id, "USDT" if buys else "BTC")
        fits = cost <= left[wallet]
        assert isinstance(outcome, EnterOrder) is fits
        left[wallet] -= cost if fits else 0
    assert {w: balances[w] - n for w, n in left.items() if balances[w] != n} == decisions.locked


# -- order lists ---------------------------------------------------------------------------------


def _list(kind: OrderListKind, *legs: Any, **changes: Any) -> Any:
    return _decide(place_list(kind, *legs, **changes))[0]


def test_an_oco_locks_the_larger_leg_once() -> None:
    entered = _list(OrderListKind.OCO, profit_order(), stop_order())
    assert isinstance(entered, EnterOrderList)
    assert (entered.list_id, [leg.order_id for leg in entered.legs]) == (list_id_of(0, 0), [1, 257])
    assert entered.reserved_minor == entered.legs[0].reserved_minor == 100_000
    assert entered.legs[1].price_ticks == 2_755_000  # the collar, from the stop price


def test_a_list_locks_in_both_assets_or_in_none() -> None:
    legs = (requested_order(), profit_order(), stop_order())
    received = [Received(0, 0, place_list(OrderListKind.OTOCO, *legs))]
    decisions = decide(received, VIEW, INSTRUMENTS, NOW_NS)
    assert decisions.locked == {(ALICE, "USDT"): COST, (ALICE, "BTC"): 100_000}
    poor = {(ALICE, "USDT"): COST, (ALICE, "BTC"): 99_999}
    refused = decide(received, msgspec.structs.replace(VIEW, available=poor), INSTRUMENTS, NOW_NS)
    assert refused.locked == {}
    assert isinstance(refused.outcomes[0], RequestRejected)


def test_the_pending_leg_of_an_opo_costs_nothing_and_has_no_quantity() -> None:
    entered = _list(OrderListKind.OPO, requested_order(), stop_order(quantity_lots=None))
    assert isinstance(entered, EnterOrderList)
    assert entered.reserved_minor == COST
    pending = entered.legs[1]
    assert (pending.quantity_lots, pending.reserved_minor, pending.price_ticks) == (None, 0, 2_755_000)


def test_a_pending_market_leg_is_collared_by_the_price_of_the_working_one() -> None:
    pending = stop_order(order_type=OrderType.MARKET, stop_price_ticks=None)
    entered = _list(OrderListKind.OTO, requested_order(price_ticks=2_000_000), pending)
    assert isinstance(entered, EnterOrderList)
    assert entered.legs[1].price_ticks == 1_900_000


def test_the_ids_of_a_list_and_of_its_legs_are_its_own() -> None:
    legs = (profit_order(), stop_order())
    oco = place_list(OrderListKind.OCO, *legs)
    assert _reason(oco, oco) is RejectReason.DUPLICATE_CLIENT_ORDER_ID
    other = place_list(OrderListKind.OCO, *legs, client_order_id="list-2")
    assert _reason(oco, other) is RejectReason.DUPLICATE_CLIENT_ORDER_ID
    known = KnownList(9, ALICE, "BTCUSDT", "list-1", NOW_NS - 59 * 10**9, False)
    assert _reason(oco, newest_lists={(ALICE, "list-1"): known}) is RejectReason.DUPLICATE_CLIENT_ORDER_ID
    later = msgspec.structs.replace(known, created_at_ns=NOW_NS - 60 * 10**9)
    assert isinstance(_decide(oco, newest_lists={(ALICE, "list-1"): later})[0], EnterOrderList)


def test_a_list_is_canceled_by_either_name_or_both_and_only_by_its_owner() -> None:
    known = KnownList(1025, ALICE, "BTCUSDT", "list-1", NOW_NS, True)
    world = {"lists": {1025: known}, "newest_lists": {(ALICE, "list-1"): known}}
    for named in (
        {"list_id": 1025},
        {"list_client_order_id": "list-1"},
        {"list_id": 1025, "list_client_order_id": "list-1"},
    ):
        (outcome,) = _decide(cancel_list(**named), **world)
        assert isinstance(outcome, CancelRestingList)
        assert outcome.list_id == 1025
    for wrong in (
        {"list_id": 1025, "list_client_order_id": "other"},
        {"list_id": 1025, "account_id": BOB},
        {"list_id": 1025, "symbol": "ETHUSDT"},
        {"list_id": 7},
    ):
        assert _reason(cancel_list(**wrong), **world) is RejectReason.UNKNOWN_ORDER
    ended = {1025: msgspec.structs.replace(known, is_open=False)}
    assert _reason(cancel_list(list_id=1025), lists=ended) is RejectReason.UNKNOWN_ORDER


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Counted.ALGO_ORDERS, RejectReason.MAX_NUM_ALGO_ORDERS),
        (Counted.ORDER_LISTS, RejectReason.MAX_NUM_ORDER_LISTS),
    ],
)
def test_stops_and_lists_are_counted(kind: Counted, reason: RejectReason) -> None:
    oco = place_list(OrderListKind.OCO, profit_order(), stop_order())
    limit = limit_of((ALICE, "BTCUSDT", kind), INSTRUMENTS)
    assert limit is not None
    assert _reason(oco, counts={(ALICE, "BTCUSDT", kind): limit}) is reason
    assert isinstance(_decide(oco, counts={(ALICE, "BTCUSDT", kind): limit - 1})[0], EnterOrderList)
    full = {(ALICE, "BTCUSDT"): INSTRUMENTS["BTCUSDT"].max_open_orders - 1}
    assert _reason(oco, open_counts=full) is RejectReason.MAX_NUM_ORDERS


def test_icebergs_are_counted() -> None:
    counts = {(ALICE, "BTCUSDT", Counted.ICEBERG_ORDERS): INSTRUMENTS["BTCUSDT"].max_iceberg_orders}
    assert _reason(place_order(display_lots=10), counts=counts) is RejectReason.MAX_NUM_ICEBERG_ORDERS


# -- replace and amend ---------------------------------------------------------------------------


def _open(**changes: Any) -> KnownOrder:
    return _known(**{"side": Side.BUY, "price_ticks": 3_000_000, "leaves_lots": 1_000, **changes})


def _replacing(known: KnownOrder, order: Any, **changes: Any) -> Any:
    world = {"newest": {(ALICE, "BTCUSDT", "c-1"): known}, **changes}
    return _decide(replace_order(order, **changes.pop("request", {})), **world)[0]


@pytest.mark.parametrize(
    ("order", "reserved"),
    [
        (requested_order(client_order_id="n"), 0),
        (requested_order(client_order_id="n", quantity_lots=1_500), COST // 2),
        (requested_order(client_order_id="n", quantity_lots=500), 0),
        (profit_order(), 100_000),
    ],
)
def test_a_replace_locks_only_what_the_old_order_does_not_set_free(order: Any, reserved: int) -> None:
    outcome = _replacing(_open(), order)
    assert isinstance(outcome, ReplaceRestingOrder)
    assert (outcome.cancel_order_id, outcome.reserved_minor) == (77, reserved)


def test_a_replace_that_cannot_be_paid_locks_nothing_and_goes_on() -> None:
    dear = requested_order(client_order_id="n", quantity_lots=100_000)
    outcome = _replacing(_open(), dear)
    assert isinstance(outcome, ReplaceRestingOrder)
    assert outcome.reserved_minor == 0


def test_the_new_order_may_take_over_the_id_of_the_old_one_only() -> None:
    assert isinstance(_replacing(_open(), requested_order()), ReplaceRestingOrder)
    other = {(ALICE, "BTCUSDT", "c-1"): _open(), (ALICE, "BTCUSDT", "n"): _open(order_id=78)}
    (outcome,) = _decide(replace_order(requested_order(client_order_id="n")), newest=other)
    assert isinstance(outcome, RequestRejected)
    assert outcome.reason is RejectReason.DUPLICATE_CLIENT_ORDER_ID


def test_a_replace_of_nothing_places_the_order_only_when_that_is_allowed() -> None:
    order = requested_order(client_order_id="n")
    assert _reason(replace_order(order)) is RejectReason.UNKNOWN_ORDER
    (outcome,) = _decide(replace_order(order, mode=ReplaceMode.ALLOW_FAILURE))
    assert isinstance(outcome, EnterOrder)
    assert (outcome.client_order_id, outcome.reserved_minor) == ("n", COST)


def test_an_amend_names_its_order_and_is_counted() -> None:
    newest = {(ALICE, "BTCUSDT", "c-1"): _open()}
    (outcome,) = _decide(amend_order(), newest=newest)
    assert isinstance(outcome, AmendRestingOrder)
    assert (outcome.order_id, outcome.quantity_lots, outcome.client_order_id) == (77, 400, "c-2")
    assert _reason(amend_order()) is RejectReason.UNKNOWN_ORDER
    worn = {(ALICE, "BTCUSDT", "c-1"): _open(amends=INSTRUMENTS["BTCUSDT"].max_order_amends)}
    assert _reason(amend_order(), newest=worn) is RejectReason.MAX_NUM_ORDER_AMENDS
    mismatch = amend_order(order_id=77, orig_client_order_id="x")
    assert _reason(mismatch, orders={77: _open()}) is RejectReason.CLIENT_ORDER_ID_MISMATCH
    taken = newest | {(ALICE, "BTCUSDT", "c-2"): _open(order_id=78)}
    assert _reason(amend_order(), newest=taken) is RejectReason.DUPLICATE_CLIENT_ORDER_ID


def test_requests_for_a_market_are_passed_on_whatever_the_accounts() -> None:
    halt = request_market_state(state=MarketState.HALT, until_ns=NOW_NS + 5)
    state, tick = _decide(halt, request_tick(symbol="ETHUSDT"), now_ns=NOW_NS)
    assert isinstance(state, SetMarketState)
    assert (state.state, state.until_ns, state.symbol) == (MarketState.HALT, NOW_NS + 5, "BTCUSDT")
    assert (state.correlation_id, state.causation_id) == (halt.correlation_id, halt.event_id)
    assert isinstance(tick, Tick)
    assert (tick.symbol, tick.occurred_at_ns, tick.source_offset) == ("ETHUSDT", NOW_NS, 1)
