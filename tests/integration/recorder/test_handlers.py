"""The recorder on a real database: settlement, idempotence, sequences, loud stops."""

from __future__ import annotations

import pytest

from schemas.codec import encode
from schemas.events import OrderCanceled, OrderEntered, OrderExpired, OrderFilled, OrderRefused
from schemas.orders import OrderType, Side, TimeInForce
from schemas.reasons import ExpiryReason, RejectReason
from service_runtime.errors import ChainBroken, Fenced, InvariantBroken, SequenceGap
from service_runtime.event_log import TopicPartition
from tests.builders import (
    ALICE,
    BOB,
    NOW_NS,
    MatchedChain,
    account_opened,
    funds_deposited,
    place_order,
    trade_executed,
)
from tests.integration.ledger_world import World

COST = 3_000_000_000  # place_order(): 1,000 lots at 3,000,000 ticks, 100,000 satoshi
TABLES = ("wallets", "ledger", "orders", "trades", "deposits", "settled", "accounts")


def _canceled(order_id: int, released: int, side: Side = Side.BUY, account_id: int = ALICE) -> OrderCanceled:
    return OrderCanceled(
        order_id=order_id,
        account_id=account_id,
        client_order_id="c-1",
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=3_000_000,
        quantity_lots=1_000,
        leaves_lots=1_000,
        executed_quote_minor=0,
        released_minor=released,
        entered_at_ns=NOW_NS,
    )


def _two_open_orders(world: World) -> None:
    """Order 1: ALICE buys. Order 2: nobody's; order 1025: BOB sells. All on partition 0."""
    world.fund(USDT=10 * COST, BTC=1_000_000)
    world.request(place_order())
    world.request(place_order(account_id=BOB, side=Side.SELL))
    world.processor().drain()


def test_a_trade_moves_money_fees_and_orders(world: World) -> None:
    _two_open_orders(world)
    world.trade(trade_executed(seller_order_id=1025, quote_minor=COST - 500, buyer_lock_minor=COST))
    recorder = world.recorder()
    recorder.drain()
    assert world.wallet(ALICE, "USDT") == (9 * COST + 500, 0)
    assert world.wallet(ALICE, "BTC") == (1_000_000 + 100_000 - 100, 0)
    assert world.wallet(BOB, "BTC") == (900_000, 0)
    assert world.wallet(BOB, "USDT") == (10 * COST + COST - 500 - 3_000_000, 0)
    assert (world.wallet(2, "BTC"), world.wallet(2, "USDT")) == ((100, 0), (3_000_000, 0))
    executed = "SELECT order_id, executed_lots, executed_quote_minor, ended FROM orders ORDER BY 1"
    assert world.rows(executed) == [(1, 1_000, COST - 500, None), (1025, 1_000, COST - 500, None)]
    assert world.rows("SELECT trade_id, last_price_ticks FROM settled WHERE symbol = 'BTCUSDT'") == [
        (1, 3_000_000)
    ]
    world.assert_conserved()


def test_endings_release_what_is_left(world: World) -> None:
    world.fund(USDT=10 * COST, BTC=1_000_000)
    for n in range(4):
        world.request(place_order(client_order_id=f"c-{n}"))
    world.processor().drain()
    chain = MatchedChain()
    base = {"account_id": ALICE, "side": Side.BUY}
    for event in (
        OrderFilled(order_id=1, released_minor=7, **base),
        OrderExpired(
            order_id=1025,
            reason=ExpiryReason.UNFILLED_IOC_QUANTITY,
            leaves_lots=1,
            released_minor=COST,
            **base,
        ),
        OrderRefused(order_id=2049, reason=RejectReason.WOULD_TAKE, released_minor=COST, **base),
        _canceled(3073, COST),
    ):
        world.broker.write("matched-events", 0, chain.next(event))
    world.recorder().drain()
    assert world.wallet(ALICE, "USDT") == (9 * COST + 7, COST - 7)
    assert world.rows("SELECT ended, end_reason FROM orders ORDER BY order_id") == [
        ("FILLED", None),
        ("EXPIRED", "unfilled_ioc_quantity"),
        ("REJECTED", "would_take"),
        ("CANCELED", None),
    ]
    settled = "SELECT sequence, last_hash FROM settled WHERE symbol = 'BTCUSDT'"
    assert world.rows(settled) == [(4, chain.previous_hash)]
    world.assert_conserved()


def test_delivering_everything_again_changes_no_table(world: World) -> None:
    _two_open_orders(world)
    chain = MatchedChain()
    entered = OrderEntered(
        order_id=1,
        account_id=ALICE,
        client_order_id="c-1",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=3_000_000,
        quantity_lots=1_000,
    )
    records = [chain.next(entered), chain.next(_canceled(1, COST))]
    for _ in range(2):
        for data in records:
            world.broker.write("matched-events", 0, data)
        world.trade(
            trade_executed(
                buyer_order_id=1025,
                buyer_account_id=BOB,
                buyer_lock_minor=0,
                quote_minor=0,
                base_minor=0,
                buyer_fee_minor=0,
                seller_fee_minor=0,
                seller_order_id=1025,
            )
        )
        world.account(funds_deposited(deposit_id="once", amount_minor=5))
    recorder = world.recorder()
    recorder.drain(max_batch=2)
    before = {name: world.table(name) for name in TABLES}
    for source, kept in list(world.broker.records.items()):
        if source.topic in recorder.handler.topics:
            for record in list(kept):
                world.broker.write(record.topic, record.partition, record.value, record.key)
    recorder.drain()
    assert {name: world.table(name) for name in TABLES} == before
    assert world.wallet(ALICE, "USDT") == (10 * COST + 5, 0)
    world.assert_conserved()


def test_deposits_move_money_once_and_only_to_open_accounts(world: World) -> None:
    world.account(account_opened())
    world.account(account_opened(name="again", maker_fee_ppm=5))
    world.account(funds_deposited(amount_minor=70))
    world.account(funds_deposited(amount_minor=70))
    world.account(funds_deposited(account_id=4000, deposit_id="d-2"))
    world.account(funds_deposited(deposit_id="d-3", asset="DOGE"))
    world.account(funds_deposited(deposit_id="d-4", amount_minor=-1))
    world.account(funds_deposited(deposit_id="d-5", amount_minor=2**63 - 1))
    world.recorder().drain()
    assert world.wallet(ALICE, "USDT") == (70, 0)
    assert world.wallet(1, "USDT") == (-70, 0)
    assert world.rows("SELECT deposit_id FROM deposits") == [("d-1",)]
    assert world.rows("SELECT name FROM accounts WHERE account_id = %s", ALICE) == [("alice",)]
    assert [letter.reason for letter in world.letters()] == ["validation_error"] * 4
    world.assert_conserved()


def test_a_gap_stops_the_recorder_and_leaves_nothing(world: World) -> None:
    _two_open_orders(world)
    world.trade(trade_executed(trade_id=2, seller_order_id=1025))
    before = {name: world.table(name) for name in TABLES}
    with pytest.raises(SequenceGap, match="expected trade 1, found 2"):
        world.recorder().drain()
    assert {name: world.table(name) for name in TABLES} == before


def test_a_broken_chain_stops_the_recorder(world: World) -> None:
    _two_open_orders(world)
    world.broker.write("matched-events", 0, MatchedChain().next(_canceled(1, COST), previous_hash="f" * 32))
    with pytest.raises(ChainBroken):
        world.recorder().drain()


def test_a_wallet_that_would_go_below_zero_stops_it_naming_the_record(world: World) -> None:
    _two_open_orders(world)
    chain = MatchedChain()
    world.broker.write("matched-events", 0, chain.next(_canceled(1, COST)))
    world.broker.write("matched-events", 0, chain.next(_canceled(1, COST)))
    before = {name: world.table(name) for name in TABLES}
    with pytest.raises(InvariantBroken, match="source M partition 0 offset 1 leg 0: account 1004"):
        world.recorder().drain()
    assert {name: world.table(name) for name in TABLES} == before


def test_an_end_of_an_order_that_does_not_exist_stops_it(world: World) -> None:
    _two_open_orders(world)
    world.broker.write("matched-events", 0, MatchedChain().next(_canceled(999, 0)))
    with pytest.raises(InvariantBroken, match=r"0 of 1 orders moved, batch matched-events\[0\] 0\.\.0"):
        world.recorder().drain()


def test_a_second_recorder_is_fenced_and_applies_nothing(world: World) -> None:
    _two_open_orders(world)
    first, second = world.recorder().start(), world.recorder().start()
    world.trade(trade_executed(seller_order_id=1025))
    first.drain()
    before = {name: world.table(name) for name in TABLES}
    with pytest.raises(Fenced):
        second.drain()
    assert {name: world.table(name) for name in TABLES} == before


def test_poison_goes_to_dead_letters(world: World) -> None:
    world.broker.write("matched-events", 0, b"garbage")
    world.broker.write("trade-execution", 1, encode(trade_executed()))
    world.broker.write("trade-execution", 0, encode(trade_executed(symbol="NOPE")))
    world.broker.write("account-events", 3, encode(account_opened()))
    world.account(account_opened(account_id=2))
    world.recorder().drain()
    assert sorted(letter.reason for letter in world.letters()) == [
        "decode_error",
        "validation_error",
        "validation_error",
        "wrong_partition",
        "wrong_partition",
    ]
    query = "SELECT next_offset FROM positions WHERE service = 'recorder' AND topic = %s ORDER BY partition"
    assert world.rows(query, "trade-execution") == [(1,), (1,), (0,), (0,)]
    assert world.end("dead-letters") == 5
    assert TopicPartition("dead-letters", 0) in world.broker.records


def test_a_second_recorder_is_fenced_where_no_money_would_stop_it(world: World) -> None:
    first, second = world.recorder().start(), world.recorder().start()
    world.broker.write("matched-events", 0, MatchedChain().next())
    first.drain()
    with pytest.raises(Fenced, match=r"batch matched-events\[0\] 0\.\.0"):
        second.drain()
