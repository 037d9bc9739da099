"""A broker, a database and processes of market data's own: its topics are read from their beginning."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from schemas.codec import encode
from schemas.events import TradeExecuted
from schemas.topics import MATCHED_EVENTS, TRADE_EXECUTION, load_topics
from service_runtime.failpoints import EXIT_KILLED, Failpoint
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.migrations import migrate
from service_runtime.settings import KafkaSettings
from tapehouse import topics
from tapehouse.local_stack import ports
from tests import service_process
from tests.services import ExchangePlace
from tests.unit.market_data.builders import Market
from tests.waiting import until

MIGRATIONS = service_process.REPOSITORY / "recorder" / "migrations"


@dataclass
class Process:
    """One `python -m MODULE`, its log and its health port."""

    module: str
    env: dict[str, str]
    log_file: Path
    health_port: int
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> Process:
        self.begin()
        until(self.ready, self.module, 120)
        return self

    def end_at(self, place: Failpoint) -> None:
        """Start it, and return when it has ended at the place: there must be work that leads it there."""
        self.begin(TAPEHOUSE_FAILPOINT=f"{place}:1")
        assert self.popen is not None
        assert self.popen.wait(120) == EXIT_KILLED, self.log_file.read_text()[-4000:]

    def begin(self, **more: str) -> None:
        environment = {**os.environ, **self.env, **more}
        self.popen = service_process.start(self.module, environment=environment, log_file=self.log_file)

    def ready(self) -> bool:
        assert self.popen is not None
        if self.popen.poll() is not None:
            raise AssertionError(f"{self.module} ended:\n{self.log_file.read_text()[-4000:]}")
        try:
            return httpx.get(f"http://127.0.0.1:{self.health_port}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        assert self.popen is not None
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> int:
        assert self.popen is not None
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(60)


@dataclass
class World:
    """What a test needs: a way to write the matcher's records, and a way to start processes."""

    bootstrap: str
    dsn: str
    redis_url: str
    folder: Path
    writer: KafkaEventLog
    processes: list[Process] = field(default_factory=list)

    def process(self, module: str, **options: str) -> Process:
        health_port = ports.free_ports(1)[0]
        env = {
            "TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "TAPEHOUSE_POSTGRES__DSN": self.dsn,
            "TAPEHOUSE_REDIS__URL": self.redis_url,
            "TAPEHOUSE_HEALTH_PORT": str(health_port),
            **options,
        }
        process = Process(module, env, self.folder / f"{module}-{health_port}.log", health_port)
        self.processes.append(process)
        return process

    def write(self, market: Market, since: int = 0) -> None:
        """Write the market's records from number `since` on, and their trades."""
        for data in market.records[since:]:
            self.writer.append(MATCHED_EVENTS, market.partition, data, market.symbol.encode())
        self.writer.flush()

    def write_trades(self, trades: list[TradeExecuted]) -> None:
        partition_of = load_topics().partition_of_symbol
        for trade in trades:
            partition = partition_of(trade.symbol)
            self.writer.append(TRADE_EXECUTION, partition, encode(trade), trade.symbol.encode())
        self.writer.flush()

    def run_market(self, market: Market, action: Callable[[Market], object]) -> None:
        """Let the market do something and write what came of it."""
        records, trades = len(market.records), len(market.trades)
        action(market)
        self.write(market, records)
        self.write_trades(market.trades[trades:])


@pytest.fixture(scope="module")
def world(exchange_place: ExchangePlace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        place = stack.enter_context(exchange_place())
        topics.apply(place.kafka)
        migrate(place.postgres, MIGRATIONS)
        writer = stack.enter_context(
            KafkaEventLog(KafkaSettings(bootstrap_servers=place.kafka), "test-writer")
        )
        folder = tmp_path_factory.mktemp("market")
        made = World(place.kafka, place.postgres, place.redis, folder, writer)
        try:
            yield made
        finally:
            for process in made.processes:
                if process.popen is not None and process.popen.poll() is None:
                    process.kill()
