"""Waiting for replies: found by correlation id, late ones dropped, what was told remembered."""

from __future__ import annotations

import asyncio

from ingest.reply_desk import ReplyDesk, ReplyReader
from schemas.codec import encode
from schemas.reasons import RejectReason
from schemas.topics import ORDER_REPLIES
from service_runtime.memory_log import MemoryBroker, MemoryEventLog
from tests.unit.ingest.test_order_reports import record, rejected


async def test_a_reply_finds_its_request_and_a_second_is_dropped() -> None:
    desk = ReplyDesk(asyncio.get_running_loop(), 10)
    first, second = desk.expect("c-1"), desk.expect("c-2")
    reply = record(correlation_id="c-2")
    desk.deliver([b"garbage", encode(reply), encode(reply), encode(record(correlation_id="nobody"))])
    assert await second == reply
    assert not first.done()
    assert len(desk) == 1


async def test_after_its_time_a_request_has_no_reply() -> None:
    desk = ReplyDesk(asyncio.get_running_loop(), 0.0)
    waiting = desk.expect("c-1")
    desk.sweep()
    assert await waiting is None
    desk.deliver([encode(record(correlation_id="c-1"))])
    assert len(desk) == 0


async def test_a_request_that_was_given_up_is_unanswered_until_its_reply_comes() -> None:
    desk = ReplyDesk(asyncio.get_running_loop(), 0.0)
    given_up = desk.expect("c-1")
    desk.sweep()
    desk.expect("c-2")
    assert await given_up is None
    assert (len(desk), desk.unanswered) == (1, 2)
    desk.deliver([encode(record(correlation_id="c-1")), encode(record(correlation_id="c-2"))])
    assert (len(desk), desk.unanswered) == (0, 0)


async def test_it_remembers_how_far_each_account_was_told() -> None:
    desk = ReplyDesk(asyncio.get_running_loop(), 10)
    desk.deliver(
        [
            encode(record(sequence=8, last_trade_id=3)),
            encode(record(sequence=6, last_trade_id=2)),
            encode(record(sequence=4, last_trade_id=1, symbol="ETHUSDT")),
            encode(rejected(RejectReason.MARKET_CLOSED)),
        ]
    )
    assert desk.seen(1004) == {"BTCUSDT": (8, 3), "ETHUSDT": (4, 1)}
    assert desk.seen(1) == {}


async def test_the_reader_starts_at_the_end_of_its_own_partition() -> None:
    loop = asyncio.get_running_loop()
    broker = MemoryBroker({ORDER_REPLIES: 4})
    broker.write(ORDER_REPLIES, 2, encode(record(correlation_id="c-1", sequence=1)))
    desk = ReplyDesk(loop, 10)
    waiting = desk.expect("c-1")
    failures: list[BaseException] = []
    reader = ReplyReader(loop, MemoryEventLog(broker), 2, desk, failures.append)
    reader.start()
    await asyncio.to_thread(reader.assigned.wait, 5)
    broker.write(ORDER_REPLIES, 3, encode(record(correlation_id="c-1", sequence=2)))
    broker.write(ORDER_REPLIES, 2, encode(record(correlation_id="c-1", sequence=3)))
    async with asyncio.timeout(60):
        reply = await waiting
    reader.stop()
    await asyncio.to_thread(reader.join)
    assert reply is not None
    assert reply == record(correlation_id="c-1", sequence=3)
    assert failures == []
