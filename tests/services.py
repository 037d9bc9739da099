"""Real Kafka, PostgreSQL and Valkey for tests: one start a session, on free ports, in a temporary folder.

Started when the first test asks, stopped at the end, on Ctrl-C too; killed with the session they end by
themselves. `TAPEHOUSE_TEST_SERVICES=containers` takes them from testcontainers instead, where Docker answers.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tapehouse.local_stack import data_folder, ports
from tapehouse.local_stack.kafka import KafkaServer
from tapehouse.local_stack.postgres import PostgresServer
from tapehouse.local_stack.valkey import ValkeyServer
from tapehouse.supervisor.program import Program, launch

CACHE = Path(os.environ.get("TAPEHOUSE_CACHE_DIR", Path.home() / ".cache" / "tapehouse"))


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
        self.started[program.name] = program, self.stack.enter_context(running(program))


@contextmanager
def running(program: Program) -> Iterator[subprocess.Popen[bytes]]:
    """The program, ready; stopped at the end."""
    process = launch(program)
    try:
        wait_ready(program, process)
        yield process
    finally:
        process.send_signal(program.stop_signal)
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
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tapehouse-test-")))
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
