"""Real Kafka, PostgreSQL and Valkey for tests: one start a run, on free ports, in a temporary folder.

Started when the first test asks, stopped at the end, on Ctrl-C too; killed with the session they end by
themselves. `TAPEHOUSE_TEST_SERVICES=containers` takes them from testcontainers instead, where Docker answers.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis
from confluent_kafka.admin import AdminClient

from schemas.topics import load_topics
from tapehouse.local_stack import data_folder, ports
from tapehouse.local_stack.kafka import KafkaServer
from tapehouse.local_stack.postgres import PostgresServer
from tapehouse.local_stack.valkey import ValkeyServer
from tapehouse.supervisor.program import Program, launch
from tests import scratch, service_logs
from tests.waiting import until

CACHE = Path(os.environ.get("TAPEHOUSE_CACHE_DIR", Path.home() / ".cache" / "tapehouse"))
_REDIS_OF_EXCHANGES = 1


@dataclass(frozen=True)
class Services:
    """Starts each server when it is first asked for."""

    folder: data_folder.DataFolder
    stack: ExitStack
    started: dict[str, tuple[Program, subprocess.Popen[bytes]]] = field(default_factory=dict)

    def kafka(self) -> str:
        port, controller_port = ports.free_ports(2)
        server = KafkaServer(
            folder=self.folder.kafka,
            log_file=self.folder.logs / "kafka.log",
            cache=CACHE,
            port=port,
            controller_port=controller_port,
        )
        self._start(server.prepare(lambda present, total: None))
        return server.bootstrap_servers

    def postgres(self) -> str:
        server = PostgresServer(
            folder=self.folder.postgres,
            log_file=self.folder.logs / "postgres.log",
            port=ports.free_ports(1)[0],
            password=self.folder.secret("postgres"),
            run_as=data_folder.postgres_user(),
        )
        self._start(server.prepare())
        return server.dsn

    def valkey(self) -> str:
        server = ValkeyServer(
            folder=self.folder.valkey,
            log_file=self.folder.logs / "valkey.log",
            port=ports.free_ports(1)[0],
            password=self.folder.secret("valkey"),
        )
        self._start(server.prepare())
        return server.url

    def _start(self, program: Program) -> None:
        """Two servers on one folder would ruin it: who wants another broker takes `embedded()`."""
        if program.name in self.started and self.started[program.name][1].poll() is None:
            raise AssertionError(f"{program.name} is running on {self.folder.root} already")
        service_logs.watch(program.log_file)
        self.started[program.name] = program, self.stack.enter_context(running(program, in_order=False))


@contextmanager
def running(program: Program, *, in_order: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """The program, ready; stopped at the end, `in_order` if what it keeps is worth that."""
    process = launch(program)
    try:
        wait_ready(program, process)
        yield process
    finally:
        at_once = signal.SIGQUIT if program.name == "postgres" else signal.SIGKILL
        process.send_signal(program.stop_signal if in_order else at_once)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_ready(program: Program, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + program.start_timeout_s
    while not program.ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{program.name} did not start:\n{program.log_file.read_text()[-4000:]}")
        time.sleep(0.02)


@contextmanager
def embedded() -> Iterator[Services]:
    with ExitStack() as stack:
        root = Path(stack.enter_context(scratch.folder("tapehouse-test-")))
        folder = data_folder.DataFolder(root)
        folder.create(run_as=data_folder.postgres_user())
        yield Services(folder, stack)


@pytest.fixture(scope="session")
def _services() -> Iterator[Services]:
    if os.environ.get("TAPEHOUSE_TEST_SERVICES") == "containers":
        from tests import containers

        with containers.services() as services:
            yield services
    else:
        with embedded() as services:
            yield services


@pytest.fixture(scope="session")
def kafka_bootstrap(_services: Services) -> str:
    return _services.kafka()


@pytest.fixture(scope="session")
def redis_url(_services: Services) -> str:
    """Shared by the session: use keys of your own, or FLUSHDB in a database number of your own."""
    return _services.valkey()


@pytest.fixture(scope="session")
def _postgres_server(_services: Services) -> str:
    return _services.postgres()


@pytest.fixture(scope="session")
def fresh_database(_postgres_server: str) -> Callable[[], str]:
    """Call it for the DSN of a new, empty database."""

    def create() -> str:
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(_postgres_server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return urlunsplit(urlsplit(_postgres_server)._replace(path=f"/{name}"))

    return create


@pytest.fixture(scope="module")
def postgres_dsn(fresh_database: Callable[[], str]) -> str:
    """An empty database, one for each test module."""
    return fresh_database()


@dataclass(frozen=True)
class Place:
    """Servers for one whole exchange: nothing of another is on them."""

    kafka: str
    postgres: str
    redis: str
    services: Services


ExchangePlace = Callable[[], AbstractContextManager[Place]]


@pytest.fixture(scope="session")
def exchange_place(
    _services: Services, kafka_bootstrap: str, fresh_database: Callable[[], str], redis_url: str
) -> ExchangePlace:
    """Call it for a place on the run's servers. Topics' names are fixed: one exchange is there at a time."""
    taken: list[Place] = []

    @contextmanager
    def place() -> Iterator[Place]:
        assert not taken, "another exchange is there: one that is shared belongs to a package"
        url = urlunsplit(urlsplit(redis_url)._replace(path=f"/{_REDIS_OF_EXCHANGES}"))
        made = Place(kafka_bootstrap, fresh_database(), url, _services)
        drop_topics(made.kafka)
        with redis.Redis.from_url(url) as store:
            store.flushdb()
        taken.append(made)
        try:
            yield made
        finally:
            taken.clear()
            drop_topics(made.kafka)

    return place


def drop_topics(bootstrap: str) -> None:
    """Delete the exchange's topics and wait until they are gone."""
    admin, declared = AdminClient({"bootstrap.servers": bootstrap}), set(load_topics().topics)

    def present() -> list[str]:
        return sorted(declared & admin.list_topics(timeout=60).topics.keys())

    if there := present():
        for future in admin.delete_topics(there).values():
            future.result(60)
        until(lambda: not present())
