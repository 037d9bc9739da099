"""The recorder on a real database: what stops, lists, amendments and prevented matches leave there."""

from __future__ import annotations

from typing import Any

from schemas.events import (
    MatchPrevented,
    OrderActivated,
    OrderAmended,
    OrderExpired,
    OrderFilled,
    OrderHeld,
    OrderListEnded,
    OrderListEntered,
    OrderListRefused,
    OrderTriggered,
)
from schemas.orders import OrderListKind, OrderType, SelfTradePrevention, Side
from schemas.reasons import ExpiryReason, RejectReason
from schemas.topics import list_id_of
from tests.builders import (
    ALICE,
    BOB,
    NOW_NS,
    MatchedChain,
    place_list,
    place_order,
    profit_order,
    requested_order,
    stop_order,
    trade_executed,
)
from tests.integration.ledger_world import World

COST = 3_000_000_000
LIST = list_id_of(0, 0)
WORKING, PENDING, SECOND = 1, 257, 513


def _held(order_id: int, until: Any, side: Side = Side.SELL) -> OrderHeld:
    return OrderHeld(order_id=order_id, account_id=ALICE, side=side, until=until)


def test_a_refused_list_gives_back_both_assets(world: World) -> None:
    """Its event has one amount and one side; the two sides had locked two assets."""
    world.fund(USDT=COST, BTC=100_000)
    world.request(place_list(OrderListKind.OTOCO, requested_order(), profit_order(), stop_order()))
    world.processor().drain()
    assert (world.wallet(ALICE, "USDT"), world.wallet(ALICE, "BTC")) == ((0, COST), (0, 100_000))
    refused = OrderListRefused(
        list_id=LIST,
        account_id=ALICE,
        side=Side.BUY,
        reason=RejectReason.BAD_LIST_PRICES,
        released_minor=COST + 100_000,
    )
    world.broker.write("matched-events", 0, MatchedChain().next(refused))
    world.recorder().drain()
    assert (world.wallet(ALICE, "USDT"), world.wallet(ALICE, "BTC")) == ((COST, 0), (100_000, 0))
    legs = "SELECT order_id, ended, end_reason, list_id FROM orders ORDER BY 1"
    assert world.rows(legs) == [(i, "REJECTED", "bad_list_prices", LIST) for i in (WORKING, PENDING, SECOND)]
    assert world.rows("SELECT list_id, kind, ended, end_reason FROM order_lists") == [
        (LIST, "OTOCO", "REJECTED", "bad_list_prices")
    ]
    world.assert_conserved()


def test_what_opo_received_is_settled_before_what_rests_on_it(world: World) -> None:
    """The release is in one topic, the trade that locked the money in the other, and comes later."""
    world.fund(USDT=COST, BTC=1_000_000)
    sell = stop_order(quantity_lots=None)
    world.request(place_list(OrderListKind.OPO, requested_order(), sell))
    world.processor().drain()
    recorder = world.recorder()
    chain = MatchedChain()
    entered = OrderListEntered(
        list_id=LIST,
        account_id=ALICE,
        kind=OrderListKind.OPO,
        client_order_id="list-1",
        order_ids=(WORKING, PENDING),
    )
    world.broker.write("matched-events", 0, chain.next(entered, _held(PENDING, "working_order_filled")))
    recorder.drain()
    assert world.rows("SELECT waits_for, working_at_ns FROM orders ORDER BY order_id") == [
        ("", None),
        ("working_order_filled", None),
    ]
    chain.last_trade_id = 1
    ends = [
        OrderFilled(order_id=WORKING, account_id=ALICE, side=Side.BUY, released_minor=0),
        OrderActivated(
            order_id=PENDING, account_id=ALICE, side=Side.SELL, quantity_lots=999, released_minor=0
        ),
        _held(PENDING, "triggered"),
    ]
    world.broker.write("matched-events", 0, chain.next(*ends))
    expired = OrderExpired(
        order_id=PENDING,
        account_id=ALICE,
        side=Side.SELL,
        reason=ExpiryReason.MARKET_CLOSED,
        leaves_lots=999,
        released_minor=99_900,
    )
    ended = OrderListEnded(list_id=LIST, account_id=ALICE)
    world.broker.write("matched-events", 0, chain.next(expired, ended))
    batch = recorder.log.poll(10, 0)
    world.trade(trade_executed(seller_account_id=ALICE, seller_order_id=WORKING, buyer_receipt_locked=True))
    world.execute(
        "UPDATE wallets SET locked = locked + 100000, available = available - 100000"
        " WHERE account_id = %s AND asset = 'BTC'",
        ALICE,
    )  # of the seller, whose order is not told
    recorder.deliver(batch)
    assert world.wallet(ALICE, "BTC") == (1_000_000 - 100_000 + 99_900, 0)
    recorder.drain()  # the trade comes by itself, and again changes nothing
    assert world.wallet(ALICE, "BTC") == (1_000_000 - 100_000 + 99_900, 0)
    assert world.rows("SELECT quantity_lots, ended, end_reason FROM orders WHERE order_id = %s", PENDING) == [
        (999, "EXPIRED", "market_closed")
    ]
    assert world.rows("SELECT ended FROM order_lists") == [("ALL_DONE",)]


def test_a_stop_works_from_its_trigger_on(world: World) -> None:
    world.fund(BTC=100_000)
    world.request(
        place_order(side=Side.SELL, order_type=OrderType.STOP_LOSS_LIMIT, stop_price_ticks=2_900_000)
    )
    world.processor().drain()
    assert world.rows("SELECT waits_for, stop_price_ticks FROM orders") == [("triggered", 2_900_000)]
    chain = MatchedChain()
    world.broker.write("matched-events", 0, chain.next(_held(1, "triggered")))
    triggered = OrderTriggered(order_id=1, account_id=ALICE, side=Side.SELL)
    world.broker.write("matched-events", 0, chain.next(triggered, occurred_at_ns=NOW_NS + 5))
    world.recorder().drain()
    assert world.rows("SELECT waits_for, working_at_ns FROM orders") == [("", NOW_NS + 5)]


def test_amendments_and_prevented_matches_are_kept(world: World) -> None:
    world.fund(USDT=10 * COST, BTC=1_000_000)
    world.request(place_order())
    world.request(place_order(side=Side.SELL, client_order_id="s-1", price_ticks=3_100_000))
    world.processor().drain()
    chain = MatchedChain()
    for quantity, name in ((800, "c-2"), (500, "c-3")):
        amended = OrderAmended(
            order_id=1,
            account_id=ALICE,
            side=Side.BUY,
            client_order_id=name,
            previous_client_order_id="c-1" if name == "c-2" else "c-2",
            quantity_lots=quantity,
            leaves_lots=quantity,
            released_minor=200 * 3_000_000 if quantity == 800 else 300 * 3_000_000,
        )
        world.broker.write("matched-events", 0, chain.next(amended))
    prevented = MatchPrevented(
        prevented_match_id=1,
        account_id=ALICE,
        mode=SelfTradePrevention.EXPIRE_MAKER,
        price_ticks=3_000_000,
        taker_side=Side.SELL,
        taker_order_id=1025,
        taker_prevented_lots=0,
        taker_released_minor=0,
        maker_order_id=1,
        maker_prevented_lots=500,
        maker_released_minor=500 * 3_000_000,
        maker_leaves_lots=0,
    )
    expired = OrderExpired(
        order_id=1,
        account_id=ALICE,
        side=Side.BUY,
        reason=ExpiryReason.SELF_TRADE_PREVENTED,
        leaves_lots=0,
        released_minor=0,
    )
    world.broker.write("matched-events", 0, chain.next(prevented, expired))
    world.recorder().drain()
    assert world.wallet(ALICE, "USDT") == (10 * COST, 0)
    row = "SELECT client_order_id, quantity_lots, first_quantity_lots, prevented_lots, amends FROM orders"
    assert world.rows(f"{row} WHERE order_id = 1") == [("c-3", 500, 1_000, 500, 2)]
    history = "SELECT sequence, previous_client_order_id, client_order_id, quantity_lots FROM amendments"
    assert world.rows(f"{history} ORDER BY 1") == [(1, "c-1", "c-2", 800), (2, "c-2", "c-3", 500)]
    match = "SELECT prevented_match_id, taker_order_id, maker_order_id, maker_prevented_lots"
    assert world.rows(f"{match} FROM prevented_matches") == [(1, 1025, 1, 500)]
    assert world.wallet(BOB, "BTC") == (1_000_000, 0)
    world.assert_conserved()
