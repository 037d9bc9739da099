"""Writes `trade-bars` from `trade-execution`, one partition one owner (a consumer group sees to it).

Where to go on is read from the bars already written, never from the group's offsets. Two owners at
once do no harm for long: their bars overlap, and whoever reads bars drops what it has and fetches
what it lacks by trade id (`market_data.candles.repair`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import structlog

from market_data.bars import BarMaker
from market_data.metrics import MarketMetrics
from schemas.codec import InvalidMessage, decoder_for, encode
from schemas.events import TradeBar, TradeExecuted
from schemas.topics import TRADE_BARS, TRADE_EXECUTION, TopicMap
from service_runtime.clock import Clock
from service_runtime.dead_letter import DeadLetters
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.failpoints import Failpoint, reach

_log = structlog.get_logger("bar_writer")
GROUP = "market-data-bars"
TAIL_RECORDS = 1_000
decode_bar = decoder_for(TradeBar)
decode_trade = decoder_for(TradeExecuted)


def resume(log: EventLog, partition: int) -> BarMaker:
    """Return the maker of a partition as the bars already written leave it.

    The last bar says at which offset to go on. A trade behind that offset which is already in a bar is
    in one of the last bars, one a symbol; so the tail of the topic tells all that must be dropped.
    """
    source = TopicPartition(TRADE_BARS, partition)
    low, high = log.offsets(source)
    next_offset = 0
    last_trade_ids: dict[str, int] = {}
    for batch in log.read(source, max(low, high - TAIL_RECORDS), high):
        for record in batch:
            try:
                bar = decode_bar(record.value)
            except InvalidMessage:
                continue
            next_offset = bar.next_offset
            last_trade_ids[bar.symbol] = max(bar.last_trade_id, last_trade_ids.get(bar.symbol, 0))
    return BarMaker(next_offset, last_trade_ids)


class BarWriter:
    """Runs on a thread of its own, with a log of its own, until `stop` or a fault."""

    def __init__(
        self, log: EventLog, topics: TopicMap, clock: Clock, metrics: MarketMetrics, interval_ms: int
    ) -> None:
        self._log = log
        self._topics = topics
        self._clock = clock
        self._metrics = metrics
        self._interval_s = interval_ms / 1000
        self._dead_letters = DeadLetters(log, "market_data")
        self._makers: dict[int, BarMaker] = {}
        self._due_s: float | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # -- the thread -------------------------------------------------------------------------------

    def start(self, failed: Callable[[BaseException], None]) -> None:
        def run() -> None:
            try:
                self._log.subscribe([TRADE_EXECUTION], GROUP, self)
                while not self._stopping.is_set():
                    self.step(0.05)
            except BaseException as error:
                failed(error)
            finally:
                self._log.close()

        self._thread = threading.Thread(target=run, name="bar-writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5.0)

    # -- one step ---------------------------------------------------------------------------------

    def step(self, timeout_s: float) -> None:
        """Read what is there and write the bars that are due."""
        records = self._log.poll(5_000, timeout_s)
        wrote = False
        for record in records:
            wrote |= self._add(record)
        now = self._clock.monotonic_s()
        if self._due_s is None:
            if any(maker.pending for maker in self._makers.values()):
                self._due_s = now + self._interval_s
        elif now >= self._due_s:
            self._due_s = None
            wrote |= self._flush_makers()
        if wrote:
            reach(Failpoint.BARS_BEFORE_FLUSH)
            self._log.flush()
            reach(Failpoint.BARS_AFTER_FLUSH)
            self._log.commit(
                {TopicPartition(TRADE_EXECUTION, p): maker.next_offset for p, maker in self._makers.items()}
            )
            reach(Failpoint.BARS_AFTER_OFFSET_COMMIT)

    def _add(self, record: Record) -> bool:
        maker = self._makers.get(record.partition)
        if maker is None:
            return False
        try:
            trade = decode_trade(record.value)
        except InvalidMessage as error:
            self._dead_letters.send(record, "decode_error", str(error))
            return False
        if self._topics.symbols.get(trade.symbol) != record.partition:
            self._dead_letters.send(record, "wrong_partition", trade.symbol)
            return False
        bar = maker.add(trade, record.offset)
        if bar is not None:
            self._write(record.partition, bar)
        return bar is not None

    def _flush_makers(self) -> bool:
        wrote = False
        for partition, maker in self._makers.items():
            for bar in maker.flush():
                self._write(partition, bar)
                wrote = True
        return wrote

    def _write(self, partition: int, bar: TradeBar) -> None:
        reach(Failpoint.BARS_BEFORE_PRODUCE)
        self._log.append(TRADE_BARS, partition, encode(bar), bar.symbol.encode())
        self._metrics.bars.inc()

    # -- partitions come and go -------------------------------------------------------------------

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        starts = {}
        for source in partitions:
            maker = resume(self._log, source.partition)
            reach(Failpoint.BARS_RECOVERY)
            self._makers[source.partition] = maker
            starts[source] = maker.next_offset
            _log.info("bars go on", topic=source.topic, partition=source.partition, offset=maker.next_offset)
        return starts

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        # What is pending is left out: the next owner makes those bars from the log.
        for source in partitions:
            self._makers.pop(source.partition, None)
