"""User data: what happens to the accounts that clients listen to, read once for all ingest workers.

Reads  matched-events, account-events (all of it, no group). Writes nothing.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import structlog
import uvloop

from ingest.http_server import listen
from ingest.read_pool import ReadPool, ReadsAway
from ingest.sealed_secrets import master_secret
from ingest.user_data.account_feed import AccountFeed
from ingest.user_data.balance_desk import BalanceDesk
from ingest.user_data.feed_reads import FeedReads, Start
from ingest.user_data.feed_server import FeedServer
from ingest.user_data.link_words import proof
from ingest.user_data.log_reader import LogReader
from ingest.user_data.settings import UserDataSettings
from schemas.instruments import load_instruments
from schemas.topics import ACCOUNT_EVENTS, MATCHED_EVENTS, TRADE_EXECUTION, load_topics
from service_runtime import telemetry
from service_runtime.clock import SystemClock
from service_runtime.errors import Fault
from service_runtime.event_log import TopicPartition
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.sequence import MatchedSequence

_log = structlog.get_logger("user_data")
_PAUSE_S = 0.5
_SHORT_PAUSE_S = 0.02
EXIT_FAULT = 1


_GATHER_MS = 20
"""How long the broker may hold records back for a larger batch: balances are told after settlement anyway."""


class UserData:
    """The parts of the process."""

    def __init__(self, settings: UserDataSettings) -> None:
        self._settings = settings
        self._topics = load_topics(settings.topics_file)
        instruments, options = load_instruments(settings.instruments_file), settings.user_data
        master = master_secret(settings.secrets)
        self._read_pool = ReadPool(settings.postgres, options.read_pool, "ingest-user-data")
        self._reads = FeedReads(self._read_pool)
        self.server = FeedServer(proof(master), options.buffer_bytes)
        self.feed = AccountFeed(instruments, self._reads, self.server)
        self.server.feed = self.feed
        self._balances = BalanceDesk(instruments, self._reads, self.feed.tell, SystemClock().now_ns)
        self.feed.balances = self._balances
        loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = loop.create_future()
        log = KafkaEventLog(settings.kafka, f"user-data-{settings.instance}", _GATHER_MS)
        self._reader = LogReader(loop, log, self.feed, self._fail)
        self.health = telemetry.Health(self._details)

    def _details(self) -> dict[str, Any]:
        return {"service": "user-data", "accounts": len(self.feed), "workers": len(self.server.workers)}

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises Fault."""
        options = self._settings.user_data
        listener = listen(options.host, options.port, shared=True)
        loop = asyncio.get_running_loop()
        stopped = asyncio.create_task(stop.wait())
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._balances.run()),
            asyncio.create_task(self.server.beat()),
        ]
        server: asyncio.Server | None = None
        try:
            await self._read_pool.open()
            starting = asyncio.create_task(self._start())
            tasks.append(starting)
            await asyncio.wait({starting, stopped}, return_when="FIRST_COMPLETED")
            if starting.done():
                start = starting.result()
                self.feed.seen = dict(start.settled)
                self._reader.start(start.positions, MatchedSequence(start.sequences))
                server = await loop.create_server(self.server.protocol, sock=listener)
                _log.info("user data ready", port=listener.getsockname()[1])
                self.health.ready = True
                waited: list[asyncio.Future[Any]] = [stopped, self.failed, *tasks[:2]]
                await asyncio.wait(waited, return_when="FIRST_COMPLETED")
        finally:
            self.health.ready = False
            listener.close()
            if server is not None:
                server.close()
            for worker in list(self.server.workers):
                worker.close()
            broken = [t for t in tasks if t.done() and not t.cancelled() and t.exception() is not None]
            for task in (stopped, *tasks):
                task.cancel()
            await asyncio.to_thread(self._reader.stop)
            await self._read_pool.close()
        for task in broken:
            task.result()
        if self.failed.done():
            self.failed.result()

    async def _start(self) -> Start:
        """Return where to begin; waits for Postgres, and until the trades there are not behind the orders."""
        begin = await self._recorder()
        wanted = await asyncio.to_thread(self._ends, TRADE_EXECUTION)
        while True:
            now = await self._recorder()
            if all(now.positions.get(source, 0) >= end for source, end in wanted.items()):
                break
            await asyncio.sleep(_SHORT_PAUSE_S)
        sources = [*self._sources(MATCHED_EVENTS), *self._sources(ACCOUNT_EVENTS)]
        positions = {source: begin.positions.get(source, 0) for source in sources}
        settled = {symbol: (p.sequence, now.settled[symbol][1]) for symbol, p in begin.sequences.items()}
        return Start(positions, begin.sequences, settled)

    async def _recorder(self) -> Start:
        while True:
            try:
                return await self._reads.start()
            except ReadsAway as away:
                _log.warning("Postgres not reachable, trying again", error=str(away))
                await asyncio.sleep(_PAUSE_S)

    def _sources(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, n) for n in range(self._topics.topics[topic].partitions)]

    def _ends(self, topic: str) -> dict[TopicPartition, int]:
        with KafkaEventLog(self._settings.kafka, f"user-data-start-{self._settings.instance}") as log:
            return {source: log.offsets(source)[1] for source in self._sources(topic)}


async def serve(settings: UserDataSettings) -> None:
    """Run until SIGTERM or SIGINT. Raises Fault."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    user_data = UserData(settings)
    health = telemetry.HealthServer(settings.health_host, settings.health_port, user_data.health)
    health.start()
    try:
        await user_data.run(stop)
    finally:
        health.stop()


def main() -> int:
    settings = UserDataSettings()
    telemetry.configure("user-data", settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings))
    except Fault as fault:
        _log.error("user data stops on a fault", kind=type(fault).__name__, fault=str(fault))
        return EXIT_FAULT
    except OSError as error:
        _log.error("user data cannot listen", error=str(error))
        return EXIT_FAULT
    return 0
