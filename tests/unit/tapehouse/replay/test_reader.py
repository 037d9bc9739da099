"""Order, duplicates, symbols and unreadable records of a whole replay, on a log in memory."""

from __future__ import annotations

import random

import pytest

from schemas.codec import encode
from schemas.instruments import load_instruments
from schemas.topics import load_topics
from service_runtime.errors import SequenceGap
from service_runtime.event_log import Record, TopicPartition
from service_runtime.memory_log import MemoryBroker, MemoryEventLog
from tapehouse.replay.ranges import Range, ranges_of
from tapehouse.replay.reader import TopicReader, in_order
from tests.unit.tapehouse.replay.messages import record, trade

TOPIC = "trade-execution"


def log_of(*records: Record) -> MemoryEventLog:
    broker = MemoryBroker({TOPIC: 4})
    for found in records:
        broker.records[found.source].append(found)
    return MemoryEventLog(broker)


def ranges(log: MemoryEventLog) -> list[Range]:
    sources = [TopicPartition(TOPIC, partition) for partition in range(4)]
    return ranges_of({source: log.offsets(source) for source in sources}, {}, {})


def reader(*, symbol: str | None = None, checked: bool = False) -> TopicReader:
    topic = load_topics().topics[TOPIC]
    return TopicReader(topic, load_instruments(), decimals=False, symbol=symbol, checked=checked)


def written(message: bytes, offset: int, partition: int = 0, at_ms: int = 0) -> Record:
    return record(message, offset, topic=TOPIC, partition=partition, at_ms=at_ms)


def trade_bytes(trade_id: int, symbol: str = "BTCUSDT") -> bytes:
    return encode(trade(trade_id, symbol=symbol))


def test_partitions_merge_by_broker_time_then_partition() -> None:
    log = log_of(
        written(b"", 0, 1, at_ms=5),
        written(b"", 1, 1, at_ms=7),
        written(b"", 0, 0, at_ms=6),
        written(b"", 1, 0, at_ms=7),
        written(b"", 0, 3, at_ms=1),
    )
    order = [(r.partition, r.offset) for r in in_order(log, ranges(log))]
    assert order == [(3, 0), (1, 0), (0, 0), (0, 1), (1, 1)]


def test_partition_keeps_its_order_when_the_clock_steps_back() -> None:
    rng = random.Random(7)
    log = log_of(*[written(b"", offset, p, rng.randrange(50)) for p in range(4) for offset in range(40)])
    order = [(r.partition, r.offset) for r in in_order(log, ranges(log))]
    assert len(order) == 160
    for partition in range(4):
        assert [offset for p, offset in order if p == partition] == list(range(40))


def test_unreadable_records_are_counted_and_shown() -> None:
    log = log_of(
        written(b"garbage", 0),
        written(trade_bytes(1), 1),
        written(b'{"type":"TradeExecuted.v9"}', 2),
        written(encode(trade(2, price_ticks=2**70)), 3),
        written(trade_bytes(3), 4),
    )
    found = reader()
    assert [row.values[1] for row in found.rows_of(log, ranges(log))] == [1, 4]
    assert (found.read, found.rows, found.unreadable) == (5, 2, 3)
    assert found.examples[0].startswith("trade-execution[0] offset 0: ")


def test_symbol_is_picked_from_a_shared_partition() -> None:
    log = log_of(
        written(trade_bytes(1), 0), written(trade_bytes(1, "ETHUSDT"), 1), written(trade_bytes(2), 2)
    )
    found = reader(symbol="BTCUSDT", checked=True)
    assert [row.values[1] for row in found.rows_of(log, ranges(log))] == [0, 2]


def test_duplicates_are_dropped_and_counted() -> None:
    log = log_of(*[written(trade_bytes(i), offset) for offset, i in enumerate([1, 2, 1, 2, 3])])
    found = reader(checked=True)
    assert [row.values[1] for row in found.rows_of(log, ranges(log))] == [0, 1, 4]
    assert found.duplicates == 2


def test_gap_in_a_whole_log_stops_the_replay() -> None:
    log = log_of(written(trade_bytes(1), 0), written(trade_bytes(3), 1))
    with pytest.raises(SequenceGap, match="expected trade 2"):
        list(reader(checked=True).rows_of(log, ranges(log)))


def test_ranges_stay_within_what_the_log_holds() -> None:
    a, b, c = (TopicPartition("t", p) for p in range(3))
    held = {a: (10, 20), b: (0, 5), c: (0, 9)}
    found = ranges_of(held, {a: 3, b: 99, c: 6}, {a: 15, b: None, c: 2})
    assert found == [Range(a, 10, 15), Range(b, 5, 5), Range(c, 6, 6)]
    assert [part.size for part in found] == [5, 0, 0]
