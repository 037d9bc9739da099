"""A batch added up equals its ledger rows, however it is cut."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recorder.journal import Leg
from recorder.settlement import Settlement, first_overdrawn
from schemas.codec import decoder_for
from schemas.events import CommandMatched, OrderFilled, OrderListRefused
from schemas.instruments import load_instruments
from schemas.orders import Side
from schemas.reasons import RejectReason
from tests.builders import ALICE, BOB, MatchedChain, funds_deposited, trade_executed

INSTRUMENTS = load_instruments()
_decode = decoder_for(CommandMatched)
_amounts = st.integers(0, 10**12)
_trades = st.lists(
    st.builds(
        trade_executed,
        quote_minor=_amounts,
        base_minor=_amounts,
        buyer_lock_minor=_amounts,
        buyer_fee_minor=_amounts,
        buyer_account_id=st.sampled_from([ALICE, BOB]),
        buyer_order_id=st.integers(1, 3),
        seller_order_id=st.integers(4, 6),
    ),
    max_size=20,
)


def _settle(trades: list[Any], start: int = 0) -> Settlement:
    settlement = Settlement(INSTRUMENTS)
    for offset, trade in enumerate(trades, start):
        settlement.trade(trade, 0, offset)
    return settlement


@given(trades=_trades, cut=st.integers(0, 20))
def test_wallet_deltas_are_the_sum_of_ledger_rows_and_do_not_depend_on_the_cut(
    trades: list[Any], cut: int
) -> None:
    whole = _settle(trades)
    summed: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for row in whole.ledger:
        summed[row[4], row[5]][0] += row[6]
        summed[row[4], row[5]][1] += row[7]
    assert whole.wallets == summed
    first, second = _settle(trades[:cut]), _settle(trades[cut:], cut)
    assert first.ledger + second.ledger == whole.ledger
    for order_id, change in whole.changes.orders.items():
        parts = [s.changes.orders[order_id] for s in (first, second) if order_id in s.changes.orders]
        assert change.executed_lots == sum(p.executed_lots for p in parts)
        assert change.executed_quote_minor == sum(p.executed_quote_minor for p in parts)


def test_a_record_ends_orders_and_moves_the_symbol_on() -> None:
    settlement = Settlement(INSTRUMENTS)
    filled = OrderFilled(order_id=9, account_id=ALICE, side=Side.BUY, released_minor=3)
    settlement.matched(_decode(MatchedChain().next(filled)), "h" * 32, 2, 40)
    assert settlement.ledger[0][:8] == ("M", 2, 40, 0, ALICE, "USDT", 3, -3)
    assert settlement.changes.orders[9].ended == "FILLED"
    assert (settlement.settled["BTCUSDT"].sequence, settlement.settled["BTCUSDT"].trade_id) == (1, None)


def test_an_order_ends_with_the_record_that_refuses_a_list() -> None:
    """A command brings the time at which an auction opens and ends orders, before it is refused itself."""
    settlement = Settlement(INSTRUMENTS)
    filled = OrderFilled(order_id=9, account_id=ALICE, side=Side.BUY, released_minor=3)
    refused = OrderListRefused(
        list_id=11, account_id=ALICE, side=Side.BUY, reason=RejectReason.MARKET_CLOSED, released_minor=7
    )
    settlement.matched(_decode(MatchedChain().next(filled, refused)), "h" * 32, 2, 40)
    settlement.give_back(
        settlement.refused_lists[0], [Leg(ALICE, "USDT", -5, 5, 11), Leg(ALICE, "BTC", -2, 2, 11)]
    )
    assert [row[:8] for row in settlement.ledger] == [
        ("M", 2, 40, 0, ALICE, "USDT", 3, -3),
        ("M", 2, 40, 1, ALICE, "USDT", 5, -5),
        ("M", 2, 40, 2, ALICE, "BTC", 2, -2),
    ]


def test_the_first_row_that_does_not_fit_is_named() -> None:
    settlement = Settlement(INSTRUMENTS)
    settlement.deposit(funds_deposited(amount_minor=10), 0, 0)
    settlement.trade(trade_executed(buyer_lock_minor=5, quote_minor=5, seller_fee_minor=0), 0, 1)
    row = first_overdrawn(settlement.ledger, {}, unlimited=1)
    assert row is not None
    assert row[:5] == ("T", 0, 1, 0, ALICE)
    balances = {(ALICE, "USDT"): [0, 5], (BOB, "BTC"): [0, 100_000]}
    assert first_overdrawn(settlement.ledger, balances, unlimited=1) is None
