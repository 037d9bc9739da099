"""Ingest: the trading API in one process.

Reads  HTTP, order-replies (this worker's partition). Writes order-requests, account-events.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from math import ceil
from typing import Any

import structlog
import uvloop

from ingest import documentation, http_server
from ingest.account_reads import AccountReads
from ingest.account_routes import AccountRoutes
from ingest.accounts import account_api
from ingest.accounts.service import AccountService
from ingest.admin_api import admin_app
from ingest.api_keys import KeyStore
from ingest.command_log import CommandLog, LogWriter
from ingest.database import Database
from ingest.dependencies import Dependencies, KafkaProbe
from ingest.documentation import documentation_app
from ingest.edge import Edge
from ingest.http_exchange import Route
from ingest.key_desk import KeyDesk
from ingest.key_feed import KeyFeed
from ingest.listen_key_routes import ListenKeyRoutes
from ingest.operator_desk import OperatorDesk
from ingest.order_desk import OrderDesk
from ingest.rate_limits import RateLimits
from ingest.read_pool import ReadPool
from ingest.reference_routes import ReferenceRoutes
from ingest.reply_desk import ReplyDesk, ReplyReader
from ingest.sealed_secrets import SecretBox, master_secret, read_or_make_secret
from ingest.settings import IngestSettings, docs_are_public
from ingest.shared_limits import SharedLimits
from ingest.shedding import Shedding
from ingest.trading_routes import TradingRoutes
from ingest.trusted_proxies import TrustedProxies
from ingest.user_data.feed_link import FeedLink
from ingest.user_data.link_words import proof
from ingest.user_data.listen_keys import ListenKeys
from ingest.user_data.streams import UserStreams
from ingest.ws_api.answers import LimitRows
from ingest.ws_api.connection import SocketServer
from ingest.ws_api.session import Desk as SocketDesk
from schemas.instruments import load_instruments
from schemas.topics import ORDER_REPLIES, load_topics
from service_runtime import telemetry
from service_runtime.clock import SystemClock
from service_runtime.errors import Fault
from service_runtime.event_log import EventLog
from service_runtime.failpoints import arm_from
from service_runtime.hot_book_reads import AsyncHotBook
from service_runtime.kafka_log import KafkaEventLog

_log = structlog.get_logger("ingest")
_TICK_S = 0.1
_READY_EVERY_S = 0.2
EXIT_FAULT = 1
GC_THRESHOLDS = (50_000, 20, 50)
"""A request leaves no cycles: looking for them every 700 objects costs and finds nothing."""


class Misconfigured(Fault):
    """The settings cannot work; said at start."""


class Ingest:
    """The parts of one worker. `running` starts and stops them; `app` is the public ASGI application."""

    def __init__(
        self,
        settings: IngestSettings,
        writer: LogWriter,
        reader: EventLog,
        more_routes: Mapping[tuple[str, str], Route] | None = None,
    ) -> None:
        arm_from(settings, "ingest")
        self._settings = settings
        topics = load_topics(settings.topics_file)
        workers = topics.topics[ORDER_REPLIES].partitions
        if settings.instance >= workers:
            raise Misconfigured(
                f"instance {settings.instance}: {ORDER_REPLIES} has {workers} partitions, one for each worker"
            )
        instruments = load_instruments(settings.instruments_file)
        options, clock = settings.ingest, SystemClock()
        loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = loop.create_future()
        self.dependencies = Dependencies()
        self._writer = writer
        self.log = CommandLog(writer, topics, clock.monotonic_s, loop.call_later, options.gather_ms / 1_000)
        limits = RateLimits(settings.limits)
        self.shared_limits = SharedLimits(settings.redis, limits, settings.limits.ban_s, clock.now_ns)
        self.desk = ReplyDesk(loop, options.reply_timeout_s, limits.matched)
        self._reader = ReplyReader(loop, reader, settings.instance, self.desk, self.fail)
        name = f"ingest-{settings.instance}"
        self._probe = KafkaProbe(
            settings.kafka, f"{name}-probe", options.kafka_silence_s, self._kafka_reported
        )
        self._broker_silent, self._silence = True, "not asked yet"
        keys = KeyStore()
        box = SecretBox(master_secret(settings.secrets))
        self.key_feed = KeyFeed(settings.postgres, keys, box, self.dependencies, options.refresh_interval_s)
        self._hot = AsyncHotBook(settings.redis)
        self._read_pool = ReadPool(settings.postgres, options.read_pool, "ingest-reads")
        reads = AccountReads(self._read_pool, options.settled_wait_s)
        self._database = Database(settings.postgres, options.management_pool)
        self.operator_desk = OperatorDesk(self._database, writer, topics, instruments, clock.now_ns)
        self.key_desk = KeyDesk(self._database, box, clock.now_ns, self.key_feed.look_now)
        self.app = Edge(
            limits, clock.now_ns, self.shared_limits, TrustedProxies(settings.ports.trusted_proxies)
        )
        order_desk = OrderDesk(
            instruments=instruments,
            keys=keys,
            log=self.log,
            desk=self.desk,
            dependencies=self.dependencies,
            limits=limits,
            shedding=Shedding(options.unanswered_orders, options.unanswered_cancels),
            reply_partition=settings.instance,
            now_ns=clock.now_ns,
            hot=self._hot,
            compare_orders=self.shared_limits.compare_orders,
        )
        for part in (
            ReferenceRoutes(instruments, limits, clock.now_ns, self._hot),
            TradingRoutes(order_desk, reads),
            AccountRoutes(
                instruments=instruments,
                keys=keys,
                hot=self._hot,
                reads=reads,
                desk=self.desk,
                limits=limits,
                compare_orders=self.shared_limits.compare_orders,
            ),
        ):
            self.app.add(part.routes())
        self.app.add(more_routes or {})
        self.listen_keys = ListenKeys(settings.redis)
        self.app.add(ListenKeyRoutes(keys, self.listen_keys).routes())
        self.streams = UserStreams(clock.now_ns)
        feed = settings.user_data
        self.user_data = FeedLink(feed.host, feed.port, proof(master_secret(settings.secrets)), self.streams)
        self.streams.follower = self.user_data
        socket_desk = SocketDesk(
            self.app,
            keys,
            limits,
            LimitRows(limits.published()),
            self.streams,
            self.listen_keys,
            clock.now_ns,
        )
        proxies = TrustedProxies(settings.ports.trusted_proxies)
        self.sockets = SocketServer(socket_desk, settings.sockets, proxies.client_of)
        public = docs_are_public(options.public_docs, settings.ports.host)
        if public:
            self.app.mount(documentation_app(self.app.paths), documentation.PATHS)
        self.accounts = AccountService(
            settings=settings,
            database=self._database,
            box=box,
            keys=self.key_desk,
            open_account=self.operator_desk.open_account,
            limits=limits,
            shared=self.shared_limits,
            now_ns=clock.now_ns,
            document=public,
        )
        self.app.mount_under(f"{account_api.PREFIX}/", self.accounts.app)

    def details(self) -> dict[str, Any]:
        return {
            "service": "ingest",
            "waiting": len(self.desk),
            "unanswered": self.desk.unanswered,
            "undelivered_s": round(self.log.oldest_s(), 3),
            "sockets": len(self.sockets.connections),
            "user_streams": len(self.streams),
            **self.dependencies.details(),
        }

    def fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    def _kafka_reported(self, silent: bool, why: str) -> None:
        self._broker_silent, self._silence = silent, why

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve until left; then what is under way is stored before the log is closed."""
        self._writer.warm_up()
        await self._read_pool.open()
        self._reader.start()
        self._probe.start()
        tasks = [
            asyncio.create_task(self.key_feed.run()),
            asyncio.create_task(self.shared_limits.run()),
            asyncio.create_task(self._tick()),
            asyncio.create_task(self.user_data.run()),
            asyncio.create_task(self.sockets.watch()),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.log.hand_over()
            await asyncio.to_thread(self._close_log)
            await self.accounts.close()
            await self._read_pool.close()
            await self._database.close()
            await self._hot.close()
            await self.listen_keys.close()

    def _close_log(self) -> None:
        self._probe.stop()
        self._reader.stop()
        self._writer.close()
        self._probe.join()
        self._reader.join()

    @property
    def ready(self) -> bool:
        away = self.dependencies.kafka_away or self.dependencies.postgres_away
        return self._reader.assigned.is_set() and not away

    async def _tick(self) -> None:
        silence_s = self._settings.ingest.kafka_silence_s
        while True:
            try:
                self.log.tick()
            except Fault as fault:
                self.fail(fault)
                return
            self.desk.sweep()
            stuck = self.log.oldest_s() > silence_s
            waiting = not self._reader.assigned.is_set()
            self.dependencies.kafka(self._broker_silent or stuck or waiting, self._silence)
            await asyncio.sleep(_TICK_S)


async def serve(
    settings: IngestSettings,
    protocol: type[asyncio.Protocol] = http_server.PatientProtocol,
    more_routes: Mapping[tuple[str, str], Route] | None = None,
    close_more: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serve the public port (and, as instance 0, the admin port) until SIGTERM or SIGINT. Raises Fault."""
    name = f"ingest-{settings.instance}"
    ingest = Ingest(
        settings,
        KafkaEventLog(settings.kafka, name),
        KafkaEventLog(settings.kafka, f"{name}-replies"),
        more_routes,
    )
    health = telemetry.Health(ingest.details)
    servers = [_public(settings, ingest, protocol)]
    if settings.instance == 0:
        servers.append(_admin(settings, ingest))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health_server = telemetry.HealthServer(settings.health_host, settings.health_port, health)
    health_server.start()
    try:
        async with ingest.running():
            gc.collect()
            gc.freeze()  # what is there now stays: to look through it again and again costs as much as orders
            gc.set_threshold(*GC_THRESHOLDS)
            serving = [asyncio.create_task(run()) for _, run in servers]
            watching = asyncio.create_task(_keep_ready(ingest, health))
            stopped = asyncio.create_task(stop.wait())
            waited: list[asyncio.Future[Any]] = [stopped, ingest.failed, *serving]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            watching.cancel()
            health.ready = False
            for one, _ in servers:
                one.should_exit = True
            await asyncio.gather(*serving)
            stopped.cancel()
    finally:
        health_server.stop()
        if close_more is not None:
            await close_more()
    if ingest.failed.done():
        ingest.failed.result()


Running = tuple[http_server.QuietServer, Callable[[], Any]]


def _public(settings: IngestSettings, ingest: Ingest, protocol: type[asyncio.Protocol]) -> Running:
    ports = settings.ports
    listener = http_server.listen(ports.host, ports.api, shared=True)
    server = http_server.server(
        ingest.app,
        settings.ingest.keep_alive_s,
        protocol,
        grace_s=ceil(settings.ingest.reply_timeout_s) + 1,
        sockets=ingest.sockets.protocol,
    )
    _log.info("public API", host=ports.host, port=listener.getsockname()[1])
    return server, lambda: server.serve(sockets=[listener])


def _admin(settings: IngestSettings, ingest: Ingest) -> Running:
    token = read_or_make_secret(settings.secrets.operator_token_file)
    listener = http_server.listen("127.0.0.1", settings.ports.admin, shared=False)
    app = admin_app(ingest.operator_desk, ingest.key_desk, token)
    app.mount("/public", documentation_app(ingest.app.paths, "/public"))
    server = http_server.server(app, settings.ingest.keep_alive_s)
    _log.info("admin API", port=listener.getsockname()[1])
    return server, lambda: server.serve(sockets=[listener])


async def _keep_ready(ingest: Ingest, health: telemetry.Health) -> None:
    while True:
        health.ready = ingest.ready
        await asyncio.sleep(_READY_EVERY_S)


def run(
    settings: IngestSettings,
    protocol: type[asyncio.Protocol] = http_server.PatientProtocol,
    more_routes: Mapping[tuple[str, str], Route] | None = None,
    close_more: Callable[[], Awaitable[None]] | None = None,
) -> int:
    """Return the process's exit code: 0 stopped, 1 fault (logged in one line)."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, protocol, more_routes, close_more))
    except Fault as fault:
        _log.error("ingest stops on a fault", kind=type(fault).__name__, fault=str(fault))
        return EXIT_FAULT
    except OSError as error:
        _log.error("ingest cannot listen", error=str(error))
        return EXIT_FAULT
    return 0


def main() -> int:
    settings = IngestSettings()
    telemetry.configure("ingest", settings.log_level)
    return run(settings)
