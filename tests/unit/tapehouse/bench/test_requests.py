"""Requests that no service refuses, written without the API."""

from __future__ import annotations

from schemas.codec import decoder_for
from schemas.commands import PlaceOrder
from schemas.instruments import load_instruments
from schemas.topics import ORDER_REQUESTS, load_topics
from service_runtime.event_log import TopicPartition
from service_runtime.memory_log import MemoryBroker, MemoryEventLog
from tapehouse.bench.requests import FIRST_ACCOUNT, RequestWriter, accounts_for, plan_of

INSTRUMENTS, TOPICS = load_instruments(), load_topics()
SYMBOLS = tuple(INSTRUMENTS.symbols)


def test_orders_lie_in_the_partition_of_their_account_in_steps_of_their_symbol() -> None:
    log = MemoryEventLog(MemoryBroker({name: topic.partitions for name, topic in TOPICS.topics.items()}))
    writer = RequestWriter(log, TOPICS, INSTRUMENTS, plan_of(INSTRUMENTS, SYMBOLS, 8, seed=1))
    first, written = writer.write_first(), writer.write(100)
    decode, names = decoder_for(PlaceOrder), set()
    for partition in range(TOPICS.topics[ORDER_REQUESTS].partitions):
        source = TopicPartition(ORDER_REQUESTS, partition)
        for batch in log.read(source, *log.offsets(source)):
            for record in batch:
                order = decode(record.value)
                instrument = INSTRUMENTS[order.symbol]
                assert TOPICS.partition_of_account(order.account_id) == partition
                assert order.quantity_lots is not None
                assert order.price_ticks is not None
                notional = instrument.notional_minor(order.price_ticks, order.quantity_lots)
                assert notional >= instrument.min_notional_minor
                names.add(order.client_order_id)
    assert len(names) == first + written == 100 + 2 * 10 * len(SYMBOLS)


def test_accounts_are_so_many_that_none_has_too_many_open_orders() -> None:
    accounts = accounts_for(1_000_000, INSTRUMENTS, SYMBOLS)
    resting = 1_000_000 / 2 / (accounts / 2) / len(SYMBOLS)
    assert resting <= min(INSTRUMENTS[s].max_open_orders for s in SYMBOLS) / 2
    assert accounts_for(1, INSTRUMENTS, SYMBOLS) == 64
    assert FIRST_ACCOUNT > 1_000  # below are the exchange's own
