"""The matcher as a process on a real broker and a real Redis: killed, frozen, doubled, started again."""

from __future__ import annotations

import random
import signal

import msgspec
import pytest
import redis
from msgspec.structs import replace

from matcher.handlers import MatcherHandler
from matcher.settings import MatcherSettings
from schemas.codec import decoder_for, encode
from schemas.events import BookSnapshot, CommandMatched, DeadLetter
from schemas.hot_book import OpenOrder, account_key, key
from schemas.topics import BOOK_SNAPSHOTS, DEAD_LETTERS, MATCHED_EVENTS, ORDER_REPLIES, VALIDATED_ORDERS
from service_runtime.clock import SystemClock
from service_runtime.event_log import TopicPartition
from service_runtime.hot_book import HotBook
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.service import EXIT_STALLED
from service_runtime.settings import KafkaSettings, RedisSettings
from tests.integration.matcher.exchange import Exchange, MatcherProcess
from tests.services import Place
from tests.simulation.matcher.test_replay import random_desk
from tests.unit.matcher.orders import BUY, SELL, Desk
from tests.waiting import until

pytestmark = pytest.mark.long


def hash_of(process: MatcherProcess, symbol: str, sequence: int) -> str:
    """Wait until a process that has just recovered tells the symbol's book hash."""
    process.until_sequence(symbol, sequence)
    told = process.symbols()[symbol]["book_hash"]
    assert told["sequence"] == sequence
    return str(told["hash"])


def check(exchange: Exchange, *desks: Desk) -> None:
    for desk in desks:
        symbol, engine = desk.instrument.symbol, desk.engine
        history = exchange.history(symbol)
        assert [r.sequence for r in history] == list(range(1, engine.sequence + 1))
        assert exchange.last_trade(symbol) == engine.trade_id


def test_orders_in_events_trades_replies_and_hot_book_out(exchange: Exchange) -> None:
    desk = Desk()
    desk.enter(1, SELL, 100, 5, account_id=7, reply_partition=2)
    desk.enter(2, BUY, 100, 3, account_id=8, reply_partition=2)
    desk.enter(3, BUY, 99, 4, account_id=8, reply_partition=2)
    desk.cancel(9, account_id=8, reply_partition=2)
    exchange.log.append(VALIDATED_ORDERS, 0, b"garbage")
    exchange.send(desk)
    process = exchange.start()
    replies = TopicPartition(ORDER_REPLIES, 2)
    exchange.until_end(ORDER_REPLIES, 4, partition=2)
    store = redis.Redis.from_url(exchange.redis_url, decode_responses=True)
    assert store.hget(key("BTCUSDT", "stamp"), "sequence") == "4"
    assert store.smembers(account_key("BTCUSDT", 8)) == {"3"}
    maker = msgspec.json.decode(str(store.hget(key("BTCUSDT", "orders"), "1")), type=OpenOrder)
    assert (maker.leaves_lots, maker.executed_quote_minor) == (2, 300)
    assert store.hgetall(key("BTCUSDT", "ask_lots")) == {"100": "2"}
    records = [r for batch in exchange.log.read(replies, 0, 4) for r in batch]
    assert [r.value for r in records] == exchange.values(MATCHED_EVENTS, "BTCUSDT")
    assert [decoder_for(CommandMatched)(r.value).sequence for r in records] == [1, 2, 3, 4]
    assert exchange.last_trade("BTCUSDT") == 1
    assert exchange.log.offsets(TopicPartition(DEAD_LETTERS, 0)) == (0, 1)
    store.close()
    assert process.stop() == 0


def test_kills_under_load_leave_one_chain(exchange: Exchange) -> None:
    dice, desks = random.Random(11), [random_desk(1, 5000), random_desk(2, 5000, "ETHUSDT")]
    process = exchange.start(TAPEHOUSE_SNAPSHOT_EVERY_RECORDS="300")
    for start in range(0, 4000, 500):
        goal = exchange.end(MATCHED_EVENTS) + dice.randint(0, 400)
        exchange.send(*desks, start=start, end=start + 500)
        exchange.until_end(MATCHED_EVENTS, goal)
        process.kill()
        process = exchange.start(TAPEHOUSE_SNAPSHOT_EVERY_RECORDS="300")
    exchange.send(*desks, start=4000)
    for desk in desks:
        process.until_sequence(desk.instrument.symbol, 5000)
    check(exchange, *desks)
    assert process.stop() == 0
    last = exchange.start()
    for desk in desks:
        assert hash_of(last, desk.instrument.symbol, 5000) == desk.engine.book_hash()


def test_frozen_owner_that_wakes_up_does_no_harm(exchange: Exchange) -> None:
    desk = random_desk(3, 4000)
    first = exchange.start()
    exchange.send(desk, end=1000)
    exchange.until_end(MATCHED_EVENTS, 200)
    first.popen.send_signal(signal.SIGSTOP)
    exchange.send(desk, start=1000, end=3000)
    second = exchange.start(instance=1)
    second.until_sequence("BTCUSDT", 3000)
    first.popen.send_signal(signal.SIGCONT)
    exchange.send(desk, start=3000)
    until(lambda: len(exchange.history("BTCUSDT")) == 4000, "both")
    assert second.popen.poll() is None
    assert first.popen.poll() in (None, 1)  # it ends if it sees the other's claim before its group tells it
    check(exchange, desk)


def test_two_owners_at_once_write_the_same_bytes(exchange: Exchange) -> None:
    desk, source = random_desk(4, 3000), TopicPartition(VALIDATED_ORDERS, 0)
    exchange.send(desk)
    kafka = KafkaSettings(bootstrap_servers=exchange.bootstrap)
    settings = MatcherSettings(kafka=kafka, redis=RedisSettings(url=exchange.redis_url))
    owners = []
    for name in ("one", "two"):
        log = KafkaEventLog(kafka, name)
        handler = MatcherHandler(settings, log, HotBook(settings.redis), SystemClock(), standby=True)
        log.assign(handler.on_assigned([source]))
        owners.append((log, handler))
    ended = [0, 0]
    while min(ended) < 3000:
        for number, (log, handler) in enumerate(owners):
            batch = log.poll(200, 0.2)
            if batch:
                ended[number] = handler.handle(batch)[source]
                handler.idle()
    assert exchange.end(MATCHED_EVENTS) == 6000
    check(exchange, desk)
    assert {h.books(0).engines["BTCUSDT"].book_hash() for _, h in owners} == {desk.engine.book_hash()}
    for log, handler in owners:
        handler.close()
        log.close()


def test_every_way_to_start_gives_the_same_book(exchange: Exchange) -> None:
    desk = random_desk(5, 1500)
    exchange.send(desk)
    store = redis.Redis.from_url(exchange.redis_url)
    process = exchange.start()
    process.until_sequence("BTCUSDT", 1500)
    process.kill()
    expected = desk.engine.book_hash()
    starts = []
    for number, wipe in enumerate((False, True, False, True)):
        if wipe:
            store.flushall()
        process = exchange.start()
        assert hash_of(process, "BTCUSDT", 1500) == expected
        assert store.hget(key("BTCUSDT", "stamp"), "sequence") == b"1500"
        exchange.log.append(VALIDATED_ORDERS, 0, b"something to do")  # makes a snapshot due at the end
        exchange.log.flush()
        exchange.until_end(DEAD_LETTERS, number + 1)
        assert process.stop() == 0
        starts.append(process.log_file.read_text().partition('"start": "')[2].partition('"')[0])
    assert starts == ["nothing", "snapshot", "hot snapshot", "snapshot"]
    snapshots = exchange.values(BOOK_SNAPSHOTS, "BTCUSDT")
    assert decoder_for(BookSnapshot)(snapshots[-1]).sequence == 1500
    assert len(store.hgetall(key("BTCUSDT", "orders"))) == len(desk.engine.book.orders)
    store.close()


def test_redis_away_changes_nothing_but_the_hot_book(exchange: Exchange) -> None:
    desk = random_desk(6, 1000)
    exchange.send(desk)
    process = exchange.start(TAPEHOUSE_REDIS__URL="redis://127.0.0.1:1/0")
    process.until_sequence("BTCUSDT", 1000)
    check(exchange, desk)
    assert process.stop() == 0


def test_bad_input_is_refused_or_buried_the_same_live_and_on_replay(exchange: Exchange) -> None:
    desk = Desk()
    desk.enter(1, SELL, 100, 5, account_id=7)
    desk.enter(1, SELL, 101, 5, account_id=7)  # a duplicate id
    for number, (price, lots) in enumerate(((0, 5), (-1, 5), (100, 0), (100, -5), (2**62, 5), (100, 2**62))):
        desk.enter(10 + number, BUY, price, lots, account_id=8)
    good = desk.inputs[0].command
    late = [encode(desk.order(90 + n, BUY, 90, 1, account_id=8)) for n in range(2)]
    for value in (
        b"",
        b"\xff\xfe garbage",
        b"[" * 5_000,
        encode(good)[:-1],
        encode(replace(good, symbol="NOSUCH")),
        encode(replace(good, symbol="ETHUSDT")),
        encode(good).replace(b'"order_id":1', b'"order_id":"1"'),
    ):
        exchange.log.append(VALIDATED_ORDERS, 0, value)
    exchange.send(desk)
    exchange.log.append_all(VALIDATED_ORDERS, 0, [late[1], late[0]])  # the first one's place was passed
    exchange.log.append(VALIDATED_ORDERS, 0, encode(good))  # so was this one's
    exchange.log.flush()
    live = exchange.start()
    live.until_sequence("BTCUSDT", 9)
    exchange.until_end(DEAD_LETTERS, 7)
    records = exchange.history("BTCUSDT")
    assert [type(record.events[0]).__name__ for record in records] == [
        "OrderEntered", *["OrderRefused"] * 7, "OrderEntered"
    ]  # fmt: skip
    live.kill()
    replayed = exchange.start()  # without a snapshot: it compares every record
    replayed.until_sequence("BTCUSDT", 9)
    exchange.until_end(DEAD_LETTERS, 14)
    assert exchange.history("BTCUSDT") == records
    letters = [decoder_for(DeadLetter)(v) for v in exchange.all_values(DEAD_LETTERS)]
    assert [letter.event_id for letter in letters[:7]] == [letter.event_id for letter in letters[7:]]
    assert [letter.reason for letter in letters[:7]] == [
        *["decode_error"] * 4, "validation_error", "wrong_partition", "decode_error"
    ]  # fmt: skip
    assert replayed.stop() == 0


@pytest.mark.logs_errors("service stops on a fault")
def test_other_record_in_our_output_ends_us(exchange: Exchange) -> None:
    desk = random_desk(7, 200)
    exchange.send(desk, end=100)
    process = exchange.start()
    process.until_sequence("BTCUSDT", 100)
    other = exchange.values(MATCHED_EVENTS, "BTCUSDT")[-1].replace(
        b'"account_id":', b'"x":1,"account_id":', 1
    )
    exchange.log.append(MATCHED_EVENTS, 0, other)
    exchange.send(desk, start=100)
    until(lambda: process.popen.poll() is not None, "the matcher to end")
    assert process.popen.returncode == 1
    assert "sequence 100: we made" in process.log_file.read_text()


def test_broker_that_stores_nothing_ends_the_matcher(exchange: Exchange, place: Place) -> None:
    desk, broker = random_desk(8, 400), place.services.started["kafka"][1]
    exchange.send(desk, end=200)
    process = exchange.start(TAPEHOUSE_STALL_TIMEOUT_S="1")
    process.until_sequence("BTCUSDT", 200)
    process.popen.send_signal(signal.SIGSTOP)  # its open read is answered while it sleeps
    exchange.send(desk, start=200)
    exchange.end(VALIDATED_ORDERS)
    broker.send_signal(signal.SIGSTOP)
    process.popen.send_signal(signal.SIGCONT)
    try:
        code = process.popen.wait(60)
    finally:
        broker.send_signal(signal.SIGCONT)
    assert code == EXIT_STALLED
    again = exchange.start()
    again.until_sequence("BTCUSDT", 400)
    check(exchange, desk)
    assert again.stop() == 0
