"""Candles and tickers: a Faust application over `trade-bars`.

Reads  trade-bars (trade-execution for a repair). Writes candles, tickers (partition = symbol's) and the
table's changelog. Faust redelivers after a crash; a bar is known by its trade ids, so that changes nothing.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import faust
import structlog

from market_data.candles.candle_book import (
    CandleBook,
    SymbolWork,
    candles_to_publish,
    ticker_to_publish,
)
from market_data.candles.progress import BarProgress
from market_data.candles.repair import bars_between
from market_data.settings import MarketDataSettings
from schemas.codec import InvalidMessage, decoder_for, encode
from schemas.events import Candle, Ticker, TradeBar
from schemas.topics import CANDLES, TICKERS, TRADE_BARS, load_topics
from service_runtime import telemetry
from service_runtime.clock import Clock, SystemClock
from service_runtime.dead_letter import DeadLetters
from service_runtime.errors import Fault
from service_runtime.event_log import Record
from service_runtime.failpoints import Failpoint, arm_from, reach
from service_runtime.kafka_log import KafkaEventLog

_log = structlog.get_logger("candles")
APP_ID = "market-data"
TABLE = "candle-state"
CHANGELOG = f"{APP_ID}-{TABLE}-changelog"
UNPUBLISHED_MOST = 500
"""A worker that catches up publishes when so many candles changed, and goes on then."""
_PUBLISHED_TOGETHER = 50
"""Symbols; between two such groups bars are taken in."""
_LOOK_EVERY_S = 0.1
_decode = decoder_for(TradeBar)


def build_app(settings: MarketDataSettings) -> faust.App:
    """Return the Faust application: no web server, no topics made by Faust, tables in memory."""
    options = settings.candles
    data_dir = Path(options.data_dir) / str(settings.instance)
    data_dir.mkdir(parents=True, exist_ok=True)
    return faust.App(
        APP_ID,
        broker=[f"kafka://{server}" for server in settings.kafka.bootstrap_servers.split(",")],
        store="memory://",
        datadir=str(data_dir),
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=load_topics(settings.topics_file).topics[TRADE_BARS].partitions,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=options.session_timeout_s,
        broker_heartbeat_interval=options.session_timeout_s / 6,
        broker_commit_interval=1.0,
        broker_commit_every=10_000,
        producer_acks=-1,
        producer_linger=0,
        stream_wait_empty=False,
        worker_redirect_stdouts=False,
    )


class CandleWorker:
    """One worker process: the agent that applies bars, and the timer that publishes what came of it."""

    def __init__(self, settings: MarketDataSettings, clock: Clock) -> None:
        arm_from(settings, "candles")
        self._settings = settings
        self._clock = clock
        self._topics = load_topics(settings.topics_file)
        self.app = build_app(settings)
        self._table = self.app.Table(
            TABLE,
            key_type=bytes,
            value_type=bytes,
            partitions=self._topics.topics[TRADE_BARS].partitions,
        )
        self._book = CandleBook(self._table)
        self._log = KafkaEventLog(settings.kafka, f"market-data-candles-{settings.instance}")
        self._progress = BarProgress(settings.kafka, APP_ID)
        self._dead_letters = DeadLetters(self._log, "market_data")
        self._done: dict[int, int] = {}
        self._publishing = asyncio.Lock()
        self._stopped = asyncio.Event()
        self._exit_code = 0
        self.health = telemetry.Health(self._details)
        bars = self.app.topic(
            TRADE_BARS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self.app.agent(bars, name="candles")(self._aggregate)
        self.app.timer(interval=settings.candles.publish_interval_ms / 1000)(self._tick)
        self.app.on_partitions_revoked.connect(self._revoked)

    # -- bars -------------------------------------------------------------------------------------

    async def _aggregate(self, stream: faust.StreamT[Any]) -> None:
        async for event in stream.events():
            try:
                await self._apply(event.message)
            except Exception as error:
                # The bar must not be acknowledged: hold it until the process ends.
                self._fail(error)
                await asyncio.Event().wait()

    async def _apply(self, message: Any) -> None:
        try:
            bar = _decode(message.value)
        except InvalidMessage as error:
            record = Record(message.topic, message.partition, message.offset, message.value)
            await asyncio.to_thread(self._dead_letter, record, str(error))
        else:
            await self._take(bar, message.partition)
        self._done[message.partition] = message.offset + 1

    async def _take(self, bar: TradeBar, partition: int) -> None:
        missing = self._book.missing_before(bar)
        bars = [bar]
        if missing is not None:
            _log.warning("bars do not follow, made anew", symbol=bar.symbol, after_trade_id=missing[1])
            bars = await asyncio.to_thread(bars_between, self._log, partition, bar.symbol, *missing)
        for each in bars:
            work = self._book.apply(each)
            if len(work.candles.unpublished) > UNPUBLISHED_MOST:
                await self._publish([(bar.symbol, work, False)])

    def _dead_letter(self, record: Record, detail: str) -> None:
        self._dead_letters.send(record, "decode_error", detail)
        self._log.flush()

    # -- publishing -------------------------------------------------------------------------------

    async def _tick(self) -> None:
        if self.app.rebalancing or not self.app.tables.actives_ready:
            return
        try:
            await self._publish_all()
        except Exception as error:
            self._fail(error)

    async def _publish_all(self) -> None:
        partitions = {tp.partition for tp in self.app.consumer.assignment() if tp.topic == TRADE_BARS}
        fresh = partitions - self._done.keys()
        if fresh:
            committed = await asyncio.to_thread(self._progress.committed, fresh)
            self._done = committed | self._done
        ends = await asyncio.to_thread(self._progress.ends, partitions)
        if self.app.rebalancing:
            return
        self._book.load()
        caught_up = {p for p in partitions if self._done.get(p, 0) >= ends[p]}
        self.health.ready = caught_up == partitions
        works = [
            (symbol, work, self._topics.partition_of_symbol(symbol) in caught_up)
            for symbol, work in self._book
        ]
        for start in range(0, len(works), _PUBLISHED_TOGETHER):
            await self._publish(works[start : start + _PUBLISHED_TOGETHER])

    async def _publish(self, works: Sequence[tuple[str, SymbolWork, bool]]) -> None:
        """Store the records of (symbol, work, caught up) first, then forget that they were to be published.

        By librdkafka: Faust's own producer takes some hundred microseconds a record.
        """
        async with self._publishing:
            now_ms = self._clock.now_ns() // 1_000_000
            grace_ms = self._settings.candles.close_grace_ms
            published: list[tuple[SymbolWork, list[Candle], Ticker | None, int]] = []
            reach(Failpoint.CANDLES_BEFORE_PRODUCE)
            for symbol, work, caught_up in works:
                candles = candles_to_publish(work, now_ms, grace_ms, caught_up=caught_up)
                ticker = ticker_to_publish(work, now_ms) if caught_up else None
                if not candles and ticker is None:
                    continue
                partition, key = self._topics.partition_of_symbol(symbol), symbol.encode()
                self._log.append_all(CANDLES, partition, map(encode, candles), key)
                if ticker is not None:
                    self._log.append(TICKERS, partition, encode(ticker), key)
                published.append((work, candles, ticker, work.candles.state.last_trade_id))
            if published:
                await asyncio.to_thread(self._log.flush)
            reach(Failpoint.CANDLES_AFTER_PRODUCE)
            for work, candles, ticker, last_trade_id in published:
                work.candles.published(candles)
                if ticker is not None:
                    work.window.told(ticker, last_trade_id)

    async def _revoked(self, *_: Any, **__: Any) -> None:
        self.health.ready = False
        self._book.clear()
        self._done.clear()

    # -- life -------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Work until SIGTERM, SIGINT or a fault; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped.set)
        settings = self._settings
        health_server = telemetry.HealthServer(settings.health_host, settings.health_port, self.health)
        health_server.start()
        try:
            await self._await_broker()
            if self._stopped.is_set():
                return self._exit_code
            await self.app.start()
            crashed = asyncio.ensure_future(self.app.wait_until_stopped())
            stopping = asyncio.ensure_future(self._stopped.wait())
            await asyncio.wait({crashed, stopping}, return_when="FIRST_COMPLETED")
            if self.app.crashed:
                self._fail(self.app.crash_reason or RuntimeError("Faust crashed"))
            self.health.ready = False
            await self.app.stop()
        finally:
            self._progress.close()
            self._log.close()
            health_server.stop()
        return self._exit_code

    async def _await_broker(self) -> None:
        """Return when Kafka listens, or we are to stop. Faust would end, and starting it takes seconds."""
        told = False
        while not self._stopped.is_set():
            for address in self._settings.kafka.bootstrap_servers.split(","):
                host, _, port = address.strip().rpartition(":")
                with suppress(OSError):
                    _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
                    writer.close()
                    return
            if not told:
                _log.warning("Kafka not reachable, waiting for it")
                told = True
            await asyncio.sleep(_LOOK_EVERY_S)

    def _fail(self, error: BaseException) -> None:
        self._exit_code = 1
        if isinstance(error, Fault):
            _log.error("service stops on a fault", kind=type(error).__name__, fault=str(error))
        else:
            _log.error("service stops on an unexpected error", exc_info=error)
        self._stopped.set()

    def _details(self) -> dict[str, Any]:
        symbols = {symbol: work.candles.state.last_trade_id for symbol, work in self._book}
        too_late = sum(work.candles.too_late for _, work in self._book)
        return {"last_trade_ids": symbols, "too_late": too_late}


def main() -> int:
    settings = MarketDataSettings()
    telemetry.configure("market_data.candles", settings.log_level)

    async def work() -> int:
        return await CandleWorker(settings, SystemClock()).run()

    return asyncio.run(work())
