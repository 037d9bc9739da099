"""Double entry: every event's legs sum to zero per asset."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.journal import (
    Leg,
    deposit_legs,
    ending,
    release_legs,
    reversed_legs,
    trade_legs,
)
from schemas.accounts import FEE_ACCOUNT, OUTSIDE_ACCOUNT
from schemas.codec import decoder_for
from schemas.events import (
    ChangeRefused,
    CommandMatched,
    MatchPrevented,
    OrderActivated,
    OrderAmended,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRefused,
    OrderRested,
)
from schemas.instruments import load_instruments
from schemas.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from schemas.reasons import ExpiryReason, RejectReason
from tests.builders import ALICE, BOB, NOW_NS, MatchedChain, funds_deposited, trade_executed

BTCUSDT = load_instruments()["BTCUSDT"]
AMOUNT = st.integers(0, 2**62)
_decode = decoder_for(CommandMatched)


def _sums(legs: list[Leg]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for leg in legs:
        sums[leg.asset] += leg.available_delta + leg.locked_delta
    return sums


@given(base=AMOUNT, quote=AMOUNT, lock=AMOUNT, buyer_fee=AMOUNT, seller_fee=AMOUNT, same=st.booleans())
def test_a_trade_sums_to_zero(
    base: int, quote: int, lock: int, buyer_fee: int, seller_fee: int, same: bool
) -> None:
    trade = trade_executed(
        base_minor=base,
        quote_minor=quote,
        buyer_lock_minor=lock,
        buyer_fee_minor=buyer_fee,
        seller_fee_minor=seller_fee,
        seller_account_id=ALICE if same else BOB,
    )
    legs = trade_legs(trade, "BTC", "USDT")
    assert not any(_sums(legs).values())
    assert all(leg.available_delta or leg.locked_delta for leg in legs[4:])


def test_a_trade_pays_as_its_event_says() -> None:
    trade = trade_executed(buyer_lock_minor=3_000_000_500)
    assert trade_legs(trade, "BTC", "USDT") == [
        Leg(ALICE, "USDT", 500, -3_000_000_500, 1),
        Leg(ALICE, "BTC", 99_900, 0, 1),
        Leg(BOB, "BTC", 0, -100_000, 1),
        Leg(BOB, "USDT", 2_997_000_000, 0, 1),
        Leg(FEE_ACCOUNT, "BTC", 100, 0, 1),
        Leg(FEE_ACCOUNT, "USDT", 3_000_000, 0, 1),
    ]


def _ends(side: Side, released: int) -> list[Any]:
    base = {"order_id": 5, "account_id": ALICE, "side": side, "released_minor": released}
    return [
        OrderFilled(**base),
        OrderExpired(**base, reason=ExpiryReason.UNFILLED_FOK_ORDER, leaves_lots=1),
        OrderRefused(**base, reason=RejectReason.WOULD_TAKE),
        OrderCanceled(
            **base,
            client_order_id="c-1",
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            price_ticks=1,
            quantity_lots=1,
            leaves_lots=1,
            executed_quote_minor=0,
            entered_at_ns=NOW_NS,
        ),
    ]


@pytest.mark.parametrize(("side", "asset"), [(Side.BUY, "USDT"), (Side.SELL, "BTC")])
def test_every_end_releases_the_asset_of_its_side(side: Side, asset: str) -> None:
    matched = _decode(MatchedChain().next(*_ends(side, 40), *_ends(side, 0)))
    assert release_legs(matched, BTCUSDT) == [Leg(ALICE, asset, 40, -40, 5)] * 4


def test_endings_have_the_words_of_the_table() -> None:
    assert [tuple(ending(e) or ()) for e in _ends(Side.BUY, 0)] == [
        (5, "FILLED", None),
        (5, "EXPIRED", "unfilled_fok_order"),
        (5, "REJECTED", "would_take"),
        (5, "CANCELED", None),
    ]
    rested = OrderRested(order_id=1, account_id=1, side=Side.BUY, price_ticks=1, leaves_lots=1)
    assert ending(rested) is None


def test_a_deposit_comes_from_outside() -> None:
    legs = deposit_legs(funds_deposited(amount_minor=9))
    assert legs == [Leg(OUTSIDE_ACCOUNT, "USDT", -9, 0, None), Leg(ALICE, "USDT", 9, 0, None)]


def test_what_an_amend_an_activation_and_a_refused_change_set_free_is_released() -> None:
    base: dict[str, Any] = {"order_id": 5, "account_id": ALICE, "side": Side.SELL, "released_minor": 7}
    amended = OrderAmended(
        **base, client_order_id="n", previous_client_order_id="o", quantity_lots=3, leaves_lots=2
    )
    changes = [amended, OrderActivated(**base, quantity_lots=3)]
    changes.append(ChangeRefused(**base, reason=RejectReason.NO_CHANGE))
    matched = _decode(MatchedChain().next(*changes))
    assert release_legs(matched, BTCUSDT) == [Leg(ALICE, "BTC", 7, -7, 5)] * 3


def test_a_prevented_match_releases_both_sides_of_the_account() -> None:
    prevented = MatchPrevented(
        prevented_match_id=1,
        account_id=ALICE,
        mode=SelfTradePrevention.DECREMENT,
        price_ticks=3_000_000,
        taker_side=Side.BUY,
        taker_order_id=5,
        taker_prevented_lots=2,
        taker_released_minor=60,
        maker_order_id=4,
        maker_prevented_lots=2,
        maker_released_minor=200,
        maker_leaves_lots=0,
    )
    matched = _decode(MatchedChain().next(prevented))
    assert release_legs(matched, BTCUSDT) == [Leg(ALICE, "USDT", 60, -60, 5), Leg(ALICE, "BTC", 200, -200, 4)]


def test_what_pays_for_the_next_legs_is_received_locked() -> None:
    legs = trade_legs(trade_executed(buyer_receipt_locked=True), "BTC", "USDT")
    assert legs[1] == Leg(ALICE, "BTC", 0, 100_000 - 100, 1)
    assert not any(_sums(legs).values())


def test_a_reservation_is_undone_leg_by_leg() -> None:
    reserved = [Leg(ALICE, "USDT", -9, 9, 1), Leg(ALICE, "BTC", -4, 4, 257)]
    assert reversed_legs(reserved) == [Leg(ALICE, "USDT", 9, -9, 1), Leg(ALICE, "BTC", 4, -4, 257)]
