"""Reads the log on a thread and hands what was read to the event loop, a batch at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from schemas.codec import InvalidMessage, decoder_for
from schemas.events import Candle, CommandMatched, Ticker
from schemas.topics import CANDLES, MATCHED_EVENTS, TICKERS, TopicMap
from service_runtime import telemetry
from service_runtime.dead_letter import DeadLetters
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.sequence import MatchedSequence

Update = CommandMatched | Candle | Ticker
TOPICS = (MATCHED_EVENTS, CANDLES, TICKERS)
BATCHES_AHEAD = 2
LAG_EVERY_POLLS = 100


@dataclass
class Batch:
    """Messages in order, and how far each partition has been read with them."""

    updates: list[Update] = field(default_factory=list)
    next_offsets: dict[TopicPartition, int] = field(default_factory=dict)


class Feed:
    """Every record is decoded and checked here: repeats are dropped, a gap is a fault, poison goes to
    `dead-letters`. `handle` runs on the loop's thread; at most two batches wait for it.
    """

    def __init__(self, log: EventLog, topics: TopicMap, sequence: MatchedSequence, max_batch: int) -> None:
        self._log = log
        self._topics = topics
        self._sequence = sequence
        self._max_batch = max_batch
        self._dead_letters = DeadLetters(log, "market_data")
        self._decoders: dict[str, Callable[[bytes], Update]] = {
            MATCHED_EVENTS: decoder_for(CommandMatched),
            CANDLES: decoder_for(Candle),
            TICKERS: decoder_for(Ticker),
        }
        self._ahead = threading.Semaphore(BATCHES_AHEAD)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(
        self,
        positions: Mapping[TopicPartition, int],
        loop: asyncio.AbstractEventLoop,
        handle: Callable[[Batch], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        def deliver(batch: Batch) -> None:
            try:
                handle(batch)
            except BaseException as error:
                failed(error)
            finally:
                self._ahead.release()

        def run() -> None:
            try:
                self._log.assign(positions)
                polls = 0
                while not self._stopping.is_set():
                    records = self._log.poll(self._max_batch, 0.2)
                    if records:
                        batch = self.read(records)
                        while not self._ahead.acquire(timeout=0.2):
                            if self._stopping.is_set():
                                return
                        loop.call_soon_threadsafe(deliver, batch)
                    polls += 1
                    if polls % LAG_EVERY_POLLS == 0 or not records:
                        self._tell_lag()
            except BaseException as error:
                failed(error)
            finally:
                self._log.close()

        self._thread = threading.Thread(target=run, name="feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def read(self, records: list[Record]) -> Batch:
        """Decode and check; what is left out was a repeat or poison."""
        batch = Batch()
        poison = False
        for record in records:
            batch.next_offsets[record.source] = record.offset + 1
            try:
                update = self._decoders[record.topic](record.value)
            except InvalidMessage as error:
                self._dead_letters.send(record, "decode_error", str(error))
                poison = True
                continue
            if self._topics.symbols.get(update.symbol) != record.partition:
                self._dead_letters.send(record, "wrong_partition", update.symbol)
                poison = True
                continue
            if isinstance(update, CommandMatched) and not self._sequence.accept(update, record.value):
                telemetry.DUPLICATES.inc()
                continue
            batch.updates.append(update)
        if poison:
            self._log.flush()
        return batch

    def _tell_lag(self) -> None:
        for source, lag in self._log.lag().items():
            telemetry.LAG.labels(source.topic, str(source.partition)).set(lag)
