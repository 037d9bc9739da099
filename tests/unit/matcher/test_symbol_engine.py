from __future__ import annotations

from itertools import pairwise

from schemas.codec import encode, record_hash
from schemas.events import GENESIS_HASH
from tests.unit.matcher.orders import BUY, SELL, T0, Desk


def test_records_are_sequenced_and_chained() -> None:
    desk = Desk()
    matched = [desk.enter(1, SELL, 100, 1), desk.enter(2, BUY, 100, 1), desk.cancel(7)]
    assert [m.record.sequence for m in matched] == [1, 2, 3]
    assert matched[0].record.previous_hash == GENESIS_HASH
    for before, after in pairwise(matched):
        assert after.record.previous_hash == record_hash(before.data)
    assert all(encode(m.record) == m.data for m in matched)


def test_ids_name_the_input() -> None:
    desk = Desk()
    desk.enter(1, SELL, 100, 1)
    record, _, (trade,) = desk.enter(2, BUY, 100, 1, reply_partition=3, client_order_id="mine")
    assert (record.event_id, record.causation_id, record.correlation_id) == (
        "BTCUSDT-2",
        "command-1",
        "request-1",
    )
    assert (record.input_offset, record.source_offset, record.reply_partition) == (1, 1, 3)
    assert record.client_order_id == "mine"
    assert (trade.event_id, trade.causation_id, trade.sequence) == ("BTCUSDT-trade-1", "BTCUSDT-2", 2)
    assert (trade.buyer_order_id, trade.seller_order_id) == (2, 1)


def test_a_passed_source_offset_is_dropped_without_a_record() -> None:
    desk = Desk()
    desk.enter(1, SELL, 100, 1, source_partition=2, source_offset=10)
    state = desk.engine.state()
    for offset in (10, 9):
        order = desk.order(2, BUY, 100, 1, source_partition=2, source_offset=offset)
        assert desk.engine.apply([desk.inputs[0]._replace(command=order)]) == []
    assert desk.engine.state() == state
    assert desk.enter(2, BUY, 100, 1, source_partition=3, source_offset=9).trades


def test_time_never_steps_back() -> None:
    desk = Desk()
    desk.enter(1, SELL, 100, 1, occurred_at_ns=T0 + 50)
    assert desk.enter(2, SELL, 100, 1, occurred_at_ns=T0).record.occurred_at_ns == T0 + 50
    assert desk.enter(3, SELL, 100, 1, occurred_at_ns=T0 + 60).record.occurred_at_ns == T0 + 60


def test_update_ids_count_level_changes() -> None:
    desk = Desk()
    desk.enter(1, SELL, 100, 1)
    assert desk.enter(2, BUY, 100, 3).record.last_update_id == 3
    assert desk.cancel(99).record.last_update_id == 3
