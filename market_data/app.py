"""Market data: depth, trades, candles and tickers, over REST and WebSocket, from the log.

Reads  matched-events, candles, tickers (every instance all of it), trade-execution (shared by group).
Writes trade-bars; candles to Postgres.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import structlog
import uvicorn
import uvloop
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from market_data import candle_store
from market_data.bar_writer import BarWriter
from market_data.candle_store import CandleHistory
from market_data.candle_writer import CandleWriter
from market_data.fanout import Hub
from market_data.feed import Batch, Feed
from market_data.klines import Klines
from market_data.metrics import process_metrics
from market_data.publisher import Publisher
from market_data.rest import MarketRest
from market_data.rolling_windows import RollingWindows
from market_data.settings import MarketDataSettings
from market_data.start import Start, begin, hot_depth
from market_data.stream_server import StreamLimits, StreamServer
from market_data.symbol_view import MarketView
from market_data.trade_history import TradeHistory
from market_data.window_streams import WindowStreams
from market_data.zoned_streams import ZonedStreams
from schemas.events import Candle, CommandMatched
from schemas.instruments import load_instruments
from schemas.topics import load_topics
from service_runtime import telemetry
from service_runtime.clock import Clock, SystemClock
from service_runtime.errors import Fault
from service_runtime.event_log import TopicPartition
from service_runtime.failpoints import arm_from
from service_runtime.hot_book_reads import AsyncHotBook
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.sequence import MatchedSequence
from service_runtime.socket_connection import ConnectionLimits

_log = structlog.get_logger("market_data")
TICK_S = 0.1
WINDOW_TICK_S = 1.0
GATHER_VIEW_MS = 20
GATHER_BARS_MS = 50
"""How long the broker may hold records back for a larger batch: the view follows closely, bars need not."""


class MarketData:
    """One server process: view, streams, REST, bars. Everything but the two log threads is one event loop."""

    def __init__(self, settings: MarketDataSettings, clock: Clock) -> None:
        arm_from(settings, "market-data")
        self.settings = settings
        self._clock = clock
        self._topics = load_topics(settings.topics_file)
        options = settings.market_data
        self._metrics = process_metrics()
        self.view = MarketView(load_instruments(settings.instruments_file))
        hub = Hub()
        limits = StreamLimits(
            ConnectionLimits(
                buffer_bytes=options.client_buffer_bytes,
                ping_interval_s=options.ping_interval_s,
                pong_timeout_s=options.pong_timeout_s,
            ),
            messages_per_s=options.messages_per_s,
            streams=options.max_streams,
        )
        self.streams = StreamServer(hub, limits, self._metrics, self._now_ms)
        self._publisher = Publisher(self.view, hub)
        self._hot_book = AsyncHotBook(settings.redis)
        self._pool = _pool(settings)
        self._writer = (
            CandleWriter(self._pool, self._metrics, options.candle_write_interval_s)
            if settings.instance == 0
            else None
        )
        klines = Klines(CandleHistory(self._pool))
        self._windows = WindowStreams(self.view, hub, RollingWindows(klines))
        self._zoned = ZonedStreams(self.view, hub, klines)
        self.rest = MarketRest(
            self.view,
            TradeHistory(self._pool),
            klines,
            self._hot_book,
            clock,
            options.view_wait_ms / 1000,
            lambda outcome: self._metrics.view_waits.labels(outcome).inc(),
        )
        self.health = telemetry.Health(self._details)
        self._behind: dict[TopicPartition, int] = {}
        self._caught_up = asyncio.Event()
        self._stopped = asyncio.Event()
        self._exit_code = 0
        self.port = options.port

    # -- life -------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Serve until SIGTERM, SIGINT or a fault; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        listener = _listen(self.settings.market_data.host, self.settings.market_data.port)
        self.port = listener.getsockname()[1]
        health_server = telemetry.HealthServer(
            self.settings.health_host, self.settings.health_port, self.health
        )
        health_server.start()
        try:
            await self._serve(loop, listener)
        except Fault as fault:
            self._fail(fault)
        finally:
            self.health.ready = False
            listener.close()
            await self._hot_book.close()
            await self._pool.close(timeout=2.0)
            health_server.stop()
        return self._exit_code

    def stop(self) -> None:
        self._stopped.set()

    async def _serve(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        await self._pool.open(wait=False)
        start = await self._until_stopped(self._start())
        if start is None:
            return
        feed = Feed(
            KafkaEventLog(self.settings.kafka, f"market-data-{self.settings.instance}", GATHER_VIEW_MS),
            self._topics,
            MatchedSequence(start.sequences),
            max(self.settings.max_batch, 2_000),
        )
        bars = BarWriter(
            KafkaEventLog(self.settings.kafka, f"market-data-bars-{self.settings.instance}", GATHER_BARS_MS),
            self._topics,
            self._clock,
            self._metrics,
            self.settings.market_data.bar_interval_ms,
        )

        def failed(error: BaseException) -> None:
            loop.call_soon_threadsafe(self._fail, error)

        tasks: list[asyncio.Task[Any]] = []
        feed.start(start.positions, loop, self._handle, failed)
        bars.start(failed)
        try:
            if await self._until_stopped(self._caught_up.wait()) is None:
                return
            works = (self._ticks(), self._window_ticks(), self.streams.keep_alive())
            tasks += [loop.create_task(work) for work in works]
            if self._writer is not None:
                tasks.append(loop.create_task(self._writer.run()))
            for task in tasks:
                task.add_done_callback(self._task_ended)
            await self._serve_http(listener)
        finally:
            self._stopped.set()
            for task in tasks:
                task.cancel()
            await asyncio.to_thread(feed.stop)
            await asyncio.to_thread(bars.stop)
            if self._writer is not None:
                await self._writer.flush()

    async def _serve_http(self, listener: socket.socket) -> None:
        server = _HttpServer(
            uvicorn.Config(
                self.rest,
                ws=self.streams.protocol,  # type: ignore[arg-type]
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        serving = asyncio.create_task(server.serve([listener]))
        self.health.ready = True
        _log.info("market data ready", port=self.port)
        await asyncio.wait(
            {serving, asyncio.ensure_future(self._stopped.wait())}, return_when="FIRST_COMPLETED"
        )
        self.health.ready = False
        server.should_exit = True
        await serving

    async def _start(self) -> Start:
        """Find out where to begin; waits for Postgres."""
        hot = {symbol: await hot_depth(self._hot_book, symbol) for symbol in self.view.symbols}
        stored = await self._stored_positions()
        return await asyncio.to_thread(self._begin, hot, stored)

    def _begin(self, hot: dict[str, Any], stored: dict[int, int]) -> Start:
        with KafkaEventLog(self.settings.kafka, f"market-data-start-{self.settings.instance}") as log:
            start = begin(log, self._topics, self.view, hot, stored)
            self._behind = {
                source: end
                for source, position in start.positions.items()
                if position < (end := log.offsets(source)[1])
            }
        _log.info("starting", symbols_from_hot_book=sorted(start.sequences), behind=len(self._behind))
        if not self._behind:
            self._caught_up.set()
        return start

    async def _stored_positions(self) -> dict[int, int]:
        while True:
            try:
                async with self._pool.connection() as connection:
                    return await candle_store.positions(connection)
            except (psycopg.OperationalError, PoolTimeout) as error:
                _log.warning("Postgres not reachable, trying again", error=str(error).strip()[:200])
                await asyncio.sleep(0.5)

    # -- on the loop ------------------------------------------------------------------------------

    def _handle(self, batch: Batch) -> None:
        now_ms = self._now_ms()
        publisher, writer = self._publisher, self._writer
        for update in batch.updates:
            if isinstance(update, CommandMatched):
                publisher.matched(update, now_ms)
            elif isinstance(update, Candle):
                publisher.candle(update, now_ms)
                if writer is not None:
                    writer.add(update)
            else:
                publisher.ticker(update)
        self.streams.flush()
        if writer is not None:
            writer.read_up_to(batch.next_offsets)
        if self._behind:
            for source, offset in batch.next_offsets.items():
                if offset >= self._behind.get(source, offset + 1):
                    del self._behind[source]
            if not self._behind:
                self._caught_up.set()

    async def _ticks(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        count = 0
        while True:
            due = max(due + TICK_S, loop.time() - 1.0)
            await asyncio.sleep(due - loop.time())
            count += 1
            now_ms = self._now_ms()
            self._publisher.tick(100, now_ms)
            if count % 10 == 0:
                self._publisher.tick(1000, now_ms)
                self._publisher.tick_second(now_ms, count // 10)
            self.streams.flush()

    async def _window_ticks(self) -> None:
        """Once a second, apart from the other ticks: it may have to wait for Postgres."""
        while True:
            await asyncio.sleep(WINDOW_TICK_S)
            await self._windows.tick(self._now_ms())
            await self._zoned.tick(self._now_ms())
            self.streams.flush()

    def _task_ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._exit_code = 1
        if isinstance(error, Fault):
            _log.error("service stops on a fault", kind=type(error).__name__, fault=str(error))
        else:
            _log.error("service stops on an unexpected error", exc_info=error)
        self._stopped.set()

    async def _until_stopped(self, work: Any) -> Any:
        """Return what `work` returns, None if the process is to stop before."""
        doing = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait({doing, stopping}, return_when="FIRST_COMPLETED")
        stopping.cancel()
        if not doing.done():
            doing.cancel()
            return None
        return doing.result()

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000

    def _details(self) -> dict[str, Any]:
        return {
            "clients": len(self.streams.clients),
            "port": self.port,
            "partitions_behind": len(self._behind),
        }


class _HttpServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to us: uvicorn would raise them again at its end."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(2048)
    listener.setblocking(False)
    return listener


def _pool(settings: MarketDataSettings) -> AsyncConnectionPool:
    return AsyncConnectionPool(
        settings.postgres.dsn,
        kwargs={
            "autocommit": True,
            "connect_timeout": settings.postgres.connect_timeout_s,
            "application_name": f"market-data-{settings.instance}",
        },
        min_size=1,
        max_size=settings.market_data.history_pool,
        timeout=2.0,
        check=AsyncConnectionPool.check_connection,
        open=False,
    )


def main() -> int:
    settings = MarketDataSettings()
    telemetry.configure("market_data", settings.log_level)

    async def serve() -> int:
        return await MarketData(settings, SystemClock()).run()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(serve())
    except OSError as error:
        print(f"market data cannot listen: {error}", file=sys.stderr)  # noqa: T201
        return 1
