"""Measure snapshots of a large book: how long matching stops, how long one takes, how long a restore takes.

    python -m tools.bench_snapshot [--orders 1000000]

On a Kafka and a Valkey of its own. The child and the broker share the machine with what is measured.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from contextlib import ExitStack

from matcher import Order, SymbolEngine
from matcher.partition_books import PartitionBooks
from matcher.recovery import Recovery
from matcher.snapshot_writer import SnapshotWriter
from matcher.snapshots import Snapshots
from schemas.instruments import load_instruments
from schemas.orders import OrderType, Side, TimeInForce
from schemas.topics import load_topics
from service_runtime.hot_book import HotBook
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import KafkaSettings, RedisSettings
from tools.bench_matcher import stack

STEP_S = 0.02


def filled(number: int) -> PartitionBooks:
    """Return books of partition 0 with so many orders at 10,000 prices."""
    engine = SymbolEngine(load_instruments()["BTCUSDT"])
    for n in range(1, number + 1):
        terms = (Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 1_000 + n % 10_000, 500 + n, 500 + n, 0, 1000)
        engine.book.rest(Order(10**9 + n, n % 5_000, f"a-client-order-id-{n}", *terms, n, n, 1000))
    engine.sequence = number
    return PartitionBooks(0, {"BTCUSDT": engine}, next_offset=number)


def timed(longest: list[float], work: Callable[[], object]) -> None:
    began = time.perf_counter()
    work()
    longest.append(time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=1_000_000)
    books = filled(parser.parse_args().orders)
    gc.freeze()
    with stack(with_redis=True) as at, ExitStack() as open_things:
        log = open_things.enter_context(KafkaEventLog(KafkaSettings(bootstrap_servers=at.bootstrap), "bench"))
        log.warm_up()
        hot = HotBook(RedisSettings(url=at.redis_url))
        write(books, log, hot)
        restore(books, log, hot)


def write(books: PartitionBooks, log: KafkaEventLog, hot: HotBook) -> None:
    writer, stops = SnapshotWriter(log, hot, fork_above=0), list[float]()
    began = time.perf_counter()
    timed(stops, lambda: writer.begin(books))
    while writer.busy:
        timed(stops, lambda: writer.step(STEP_S))
        time.sleep(0.001)
    log.flush()
    took = time.perf_counter() - began
    print(
        f"snapshot        {took:6.2f} s; fork {1e3 * stops[0]:.1f} ms, longest stop {1e3 * max(stops):.1f} ms"
    )


def restore(books: PartitionBooks, log: KafkaEventLog, hot: HotBook) -> None:
    snapshots = Snapshots(log, hot)
    recovery = Recovery(log, snapshots, load_topics(), load_instruments(), 0)
    for name, read in (
        ("Redis", lambda: snapshots.hot(["BTCUSDT"])),
        ("topic", lambda: snapshots.logged(0, ["BTCUSDT"])),
    ):
        began = time.perf_counter()
        found = read()
        seen = time.perf_counter()
        restored = recovery.books(0, ["BTCUSDT"], found)
        done = time.perf_counter()
        if len(restored.engines["BTCUSDT"].book.orders) != len(books.engines["BTCUSDT"].book.orders):
            raise SystemExit(f"the snapshot in {name} was not restored")
        parts = f"read {seen - began:.2f}, restored and verified {done - seen:.2f}"
        print(f"restore, {name}  {done - began:6.2f} s ({parts})")


if __name__ == "__main__":
    main()
