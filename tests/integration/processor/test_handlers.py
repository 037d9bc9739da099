"""The processor on a real database: decisions, reservations, re-emission, fencing."""

from __future__ import annotations

import pytest

from schemas.codec import encode
from schemas.commands import CancelRestingOrder, CancelRestingOrders, EnterOrder
from schemas.events import RequestRejected
from schemas.orders import Side
from schemas.reasons import RejectReason
from schemas.topics import order_id_of
from service_runtime.errors import Fenced, InvariantBroken, LogFault, PositionLost
from service_runtime.event_log import TopicPartition
from service_runtime.memory_log import MemoryEventLog
from tests.builders import ALICE, BOB, NOW_NS, cancel_all_orders, cancel_order, place_order
from tests.integration.ledger_world import World

COST = 3_000_000_000  # place_order(): 1,000 lots at 3,000,000 ticks


def test_an_order_is_reserved_exactly_and_reaches_the_matcher(world: World) -> None:
    world.fund(USDT=10 * COST)
    world.request(place_order())
    world.processor().drain()
    assert world.wallet(ALICE, "USDT") == (9 * COST, COST)
    (entered,) = world.validated()
    assert isinstance(entered, EnterOrder)
    assert (entered.order_id, entered.reserved_minor) == (order_id_of(0, 0), COST)
    ledger = (
        "SELECT source, source_offset, available_delta, locked_delta, reference FROM ledger WHERE source='R'"
    )
    assert world.rows(ledger) == [("R", 0, -COST, COST, 1)]
    assert world.rows("SELECT order_id, client_order_id, ended FROM orders") == [(1, "c-1", None)]
    world.assert_conserved()


def test_a_hundred_orders_on_one_balance_accept_exactly_those_that_fit(world: World) -> None:
    world.fund(USDT=37 * COST + COST - 1)
    for n in range(100):
        world.request(place_order(client_order_id=f"c-{n}", reply_partition=3))
    world.processor().drain(max_batch=7)
    assert len(world.validated()) == 37
    assert [r.reason for r in world.replies()] == [RejectReason.INSUFFICIENT_FUNDS] * 63
    assert world.wallet(ALICE, "USDT") == (COST - 1, 37 * COST)
    assert world.rows("SELECT count(*) FROM rejections WHERE reason = 'insufficient_funds'") == [(63,)]
    world.assert_conserved()


def test_cancels_are_resolved_within_the_batch_and_from_the_database(world: World) -> None:
    world.fund(USDT=10 * COST)
    processor = world.processor()
    world.request(place_order())
    world.request(cancel_order(orig_client_order_id="c-1"))
    processor.drain()
    world.request(cancel_order(order_id=1, orig_client_order_id="c-1"))
    world.request(cancel_order(order_id=1, orig_client_order_id="other", reply_partition=0))
    world.request(cancel_order(order_id=77, reply_partition=0))
    world.request(cancel_all_orders())
    world.request(cancel_order(account_id=BOB, order_id=1, reply_partition=0))
    processor.drain()
    assert [type(c) for c in world.validated()] == [
        EnterOrder,
        CancelRestingOrder,
        CancelRestingOrder,
        CancelRestingOrders,
    ]
    assert [r.reason for r in world.replies()] == [RejectReason.UNKNOWN_ORDER] * 3


def test_a_cancel_of_an_order_that_has_ended_is_refused(world: World) -> None:
    world.fund(USDT=10 * COST)
    processor = world.processor()
    world.request(place_order())
    processor.drain()
    world.execute("UPDATE orders SET ended = 'FILLED'")
    world.request(cancel_order(orig_client_order_id="c-1", reply_partition=1))
    processor.drain()
    (reply,) = world.replies()
    assert isinstance(reply, RequestRejected)
    assert reply.reason is RejectReason.UNKNOWN_ORDER


def test_client_order_ids_are_free_again_but_a_retry_is_no_second_order(world: World) -> None:
    world.fund(USDT=10 * COST)
    processor = world.processor()
    world.request(place_order())
    processor.drain()
    world.request(place_order(price_ticks=2_999_999, reply_partition=0))  # open: refused
    processor.drain()
    world.execute("UPDATE orders SET ended = 'CANCELED'")
    world.request(place_order(reply_partition=0))  # same terms, at once: a retry
    world.request(place_order(price_ticks=2_999_998))  # other terms: a new order
    processor.drain()
    world.execute("UPDATE orders SET ended = 'CANCELED'")
    world.clock.advance(60)
    world.request(place_order(price_ticks=2_999_998))
    processor.drain()
    assert [r.reason for r in world.replies()] == [RejectReason.DUPLICATE_CLIENT_ORDER_ID] * 2
    assert [o.price_ticks for o in world.validated()] == [3_000_000, 2_999_998, 2_999_998]


def test_an_open_order_keeps_its_client_order_id_though_a_newer_one_of_it_has_ended(world: World) -> None:
    """As after a replacement that took the same id and was refused, the old order staying."""
    world.fund(USDT=10 * COST)
    processor = world.processor()
    world.request(place_order())
    world.request(place_order(client_order_id="c-2"))
    processor.drain()
    old, newer = (order.order_id for order in world.validated())
    world.execute("UPDATE orders SET client_order_id = 'c-1', ended = 'CANCELED' WHERE order_id = %s", newer)
    world.request(place_order(price_ticks=2_999_999, reply_partition=0))
    world.request(cancel_order(orig_client_order_id="c-1"))
    processor.drain()
    assert [r.reason for r in world.replies()] == [RejectReason.DUPLICATE_CLIENT_ORDER_ID]
    cancel = world.validated()[-1]
    assert isinstance(cancel, CancelRestingOrder)
    assert cancel.order_id == old


def test_poison_goes_to_dead_letters_and_the_stream_goes_on(world: World) -> None:
    world.fund(USDT=10 * COST)
    world.broker.write("order-requests", 0, b"\xff\x00 not json")
    world.request(place_order(quantity_lots=-5))
    world.request(place_order(client_order_id="a\x00b"))
    world.request(place_order(symbol="BTC\\USDT"))
    world.broker.write("order-requests", 1, encode(place_order()))
    world.request(place_order())
    world.processor().drain()
    reasons = sorted(letter.reason for letter in world.letters())
    assert reasons == ["decode_error"] + ["validation_error"] * 3 + ["wrong_partition"]
    assert len(world.validated()) == 1
    query = "SELECT partition, next_offset FROM positions WHERE service='processor' ORDER BY 1"
    assert world.rows(query) == [(0, 5), (1, 1), (2, 0), (3, 0)]


def test_unknown_symbol_account_and_late_requests_are_refused(world: World) -> None:
    world.fund(USDT=10 * COST)
    world.request(place_order(symbol="NOPE", reply_partition=0))
    world.request(place_order(account_id=4444, reply_partition=0))
    world.request(place_order(expires_at_ns=NOW_NS - 1, reply_partition=0))
    world.processor().drain()
    assert [r.reason for r in world.replies()] == [
        RejectReason.UNKNOWN_SYMBOL,
        RejectReason.ACCOUNT_DISABLED,
        RejectReason.REQUEST_EXPIRED,
    ]
    assert world.validated() == []


class _DiesBeforeEmitting(MemoryEventLog):
    """The process ends between its commit and its first record."""

    def append(self, topic: str, *args: object, **kwargs: object) -> None:
        raise LogFault("killed")


def test_what_was_committed_and_not_emitted_goes_out_after_the_restart(world: World) -> None:
    world.fund(USDT=10 * COST)
    dying = world.processor(_DiesBeforeEmitting(world.broker))
    world.request(place_order())
    world.request(place_order(client_order_id="c-2", symbol="NOPE", reply_partition=5))
    with pytest.raises(LogFault):
        dying.drain()
    assert world.validated() == []
    assert world.wallet(ALICE, "USDT") == (9 * COST, COST)
    world.processor().drain()
    assert [o.order_id for o in world.validated()] == [1]
    assert [r.client_order_id for r in world.replies()] == ["c-2"]
    assert world.wallet(ALICE, "USDT") == (9 * COST, COST)
    world.processor().start()  # emitted again: the same bytes, which the matcher drops
    first, second = world.broker.values("validated-orders")
    assert first == second


def test_a_second_instance_on_the_same_partition_is_fenced(world: World) -> None:
    world.fund(USDT=10 * COST)
    first, second = world.processor().start(), world.processor().start()
    world.request(place_order())
    first.drain()
    with pytest.raises(Fenced, match=r"order-requests\[0\]"):
        second.drain()
    assert world.wallet(ALICE, "USDT") == (9 * COST, COST)


def test_a_position_outside_the_log_stops_the_start(world: World) -> None:
    world.execute(
        "INSERT INTO positions (service, topic, partition, next_offset)"
        " VALUES ('processor', 'order-requests', 2, 40)"
    )
    with pytest.raises(PositionLost, match=r"order-requests\[2\]: expected offset 40, found 0 to 0"):
        world.processor().start()


def test_a_log_that_was_cut_before_first_use_stops_the_start(world: World) -> None:
    world.request(place_order())
    world.broker.truncate(TopicPartition("order-requests", 0), 1)
    with pytest.raises(PositionLost):
        world.processor().start()


def test_an_order_row_that_is_there_already_is_a_broken_invariant(world: World) -> None:
    world.fund(USDT=10 * COST)
    processor = world.processor()
    world.request(place_order())
    processor.drain()
    world.execute("UPDATE positions SET next_offset = 0 WHERE service = 'processor'")
    world.execute("UPDATE orders SET client_order_id = 'renamed'")
    world.broker.records[TopicPartition("validated-orders", 0)].clear()  # else it would say so at once
    with pytest.raises(InvariantBroken, match="duplicate key"):
        world.processor().drain()
    assert world.wallet(ALICE, "USDT") == (9 * COST, COST)


def test_sides_lock_their_own_asset(world: World) -> None:
    world.fund(USDT=COST, BTC=100_000)
    world.request(place_order(side=Side.SELL))
    world.request(place_order(client_order_id="c-2"))
    world.processor().drain()
    assert world.wallet(ALICE, "BTC") == (0, 100_000)
    assert world.wallet(ALICE, "USDT") == (0, COST)
    world.assert_conserved()
