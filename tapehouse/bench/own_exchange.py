"""A throw-away exchange whose services a benchmark starts one by one: what `tapehouse up` starts together.

So that a service can be measured alone, with its whole input waiting in its topics.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from schemas.topics import TopicMap, load_topics
from service_runtime.event_log import TopicPartition
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import KafkaSettings, PostgresSettings, RedisSettings
from tapehouse import topics
from tapehouse.errors import OperatorError
from tapehouse.exchange import Exchange
from tapehouse.local_stack import data_folder, ports
from tapehouse.migrate import migrate
from tapehouse.service_table import parse_scale
from tapehouse.settings import OperatorSettings, Ports
from tapehouse.supervisor import log_file
from tapehouse.supervisor.program import Program, launch

MOST_INSTANCES = 5
STOP_S = 15.0
_RUN_OF_PORTS = 60
Running = tuple[Program, subprocess.Popen[bytes]]


@dataclass(frozen=True)
class Stored:
    """Bytes on disk: of each topic, of the database, and ever written to its write-ahead log."""

    log: dict[str, int]
    postgres: int
    wal: int

    def since(self, before: Stored, orders: int) -> dict[str, Any]:
        """Return the growth for each of so many orders."""
        grown = {t: round((size - before.log.get(t, 0)) / orders, 1) for t, size in self.log.items()}
        return {
            "log": {topic: size for topic, size in sorted(grown.items()) if size > 0},
            "postgres": round((self.postgres - before.postgres) / orders, 1),
            "wal": round((self.wal - before.wal) / orders, 1),
        }


class OwnExchange:
    """Servers that run, and services that may. Use `own_exchange`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._running: dict[str, Running] = {}
        self._programs = {program.name: _anywhere(program) for program in exchange.services()}
        environment = exchange.environment()
        self.bootstrap_servers = environment["TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS"]
        self.dsn = environment["TAPEHOUSE_POSTGRES__DSN"]
        self.topics: TopicMap = load_topics(exchange.settings.topics_file)
        self.instruments_file = exchange.settings.instruments_file
        self.log = KafkaEventLog(KafkaSettings(bootstrap_servers=self.bootstrap_servers), "bench")

    # -- processes ------------------------------------------------------------------------------

    def start(self, service: str, instances: int = 1, first: int = 0, *, wait: bool = True) -> None:
        """Start instances of a service, and wait until each is ready. Raises OperatorError.

        From the main thread only: they live no longer than the thread that started them.
        """
        chosen = [self._programs[f"{service}-{n}"] for n in range(first, first + instances)]
        for program in chosen:
            self._running[program.name] = (program, launch(program))
        for program in chosen if wait else ():
            self._await_ready(program)

    def stop(self, *names: str) -> None:
        """Stop the processes whose name, or service, is named."""
        chosen = [name for name, (program, _) in self._running.items() if {name, program.service} & {*names}]
        ended = [self._running.pop(name) for name in chosen]
        for program, process in ended:
            process.send_signal(program.stop_signal)
        for _, process in ended:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def stop_all(self) -> None:
        self.stop(
            *[name for name, (program, _) in self._running.items() if program.service in self._services]
        )
        self.log.close()
        if "database" in self.__dict__:
            self.database.close()
        self.stop(*list(self._running))

    def start_servers(self) -> None:
        prepared = [prepare() for prepare in self._exchange.preparations(lambda present, total: None)]
        for program in prepared:
            self._running[program.name] = (program, launch(program))
        for program in prepared:
            self._await_ready(program)
        topics.apply(self.bootstrap_servers, declared=self.topics)
        migrate(self.dsn)
        self.log.warm_up()

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, (_, process) in self._running.items()}

    def check(self) -> None:
        """Raises OperatorError with the last words of a process that ended by itself."""
        for program, process in self._running.values():
            if process.poll() is not None:
                said = "\n".join(log_file.tail(program.log_file, 20))
                raise OperatorError(f"{program.name} ended ({process.returncode}):\n{said}")

    def is_ready(self, name: str) -> bool:
        return self._running[name][0].ready()

    def _await_ready(self, program: Program) -> None:
        deadline = time.monotonic() + program.start_timeout_s
        while not program.ready():
            self.check()
            if time.monotonic() > deadline:
                raise OperatorError(f"{program.name} is not ready in {program.start_timeout_s:.0f} s")
            time.sleep(0.02)

    @property
    def _services(self) -> set[str]:
        return {program.service for program in self._programs.values()}

    # -- what has been done ---------------------------------------------------------------------

    @cached_property
    def database(self) -> psycopg.Connection:
        return psycopg.connect(self.dsn, autocommit=True)

    def ask(self, query: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        return self.database.execute(query, values).fetchall()

    def ends(self, topic: str) -> dict[int, int]:
        """Return where each partition of a topic ends."""
        partitions = range(self.topics.topics[topic].partitions)
        return {p: self.log.offsets(TopicPartition(topic, p))[1] for p in partitions}

    def stored(self) -> Stored:
        sizes: dict[str, int] = {}
        for segment in self._exchange.folder.kafka.glob("log/*/*.log"):
            topic = segment.parent.name.rpartition("-")[0]
            if topic in self.topics.topics:
                sizes[topic] = sizes.get(topic, 0) + segment.stat().st_size
        [(size, wal)] = self.ask(
            "SELECT pg_database_size(current_database()), pg_current_wal_lsn() - '0/0'::pg_lsn"
        )
        return Stored(sizes, int(size), int(wal))


def _anywhere(program: Program) -> Program:
    """Let market data take any port: nobody asks it, and one that was free may be taken by now."""
    return replace(program, env={**program.env, "TAPEHOUSE_MARKET_DATA__PORT": "0"})


@contextmanager
def own_exchange(folder: Path | None = None) -> Iterator[OwnExchange]:
    """Start the servers on free ports in a temporary folder; stop and remove everything at the end."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tapehouse-bench-", dir=folder)))
        root.chmod(0o711)  # PostgreSQL, which never runs as root, must pass
        user = data_folder.postgres_user()
        data = data_folder.DataFolder(root / "data")
        data.create(run_as=user)
        scale = dict.fromkeys(parse_scale(None), MOST_INSTANCES) | {"matcher-standby": 0, "user-data": 1}
        found = OwnExchange(Exchange(_settings(), data, scale, user))
        stack.callback(found.stop_all)
        found.start_servers()
        yield found


def _settings() -> OperatorSettings:
    """Never of the environment, which may name an exchange that somebody trades on."""
    first = _free_run()
    own = Ports(
        api=first, admin=first + 1, kafka=first + 2, kafka_controller=first + 3, postgres=first + 4,
        valkey=first + 5, user_data=first + 6, market_data=first + 8, health=first + 16,
    )  # fmt: skip
    settings = OperatorSettings(
        kafka=KafkaSettings(), postgres=PostgresSettings(), redis=RedisSettings(), ports=own
    )
    if not (settings.embeds_kafka and settings.embeds_postgres and settings.embeds_valkey):
        raise OperatorError("an exchange of the benchmark's own would be one that runs already")
    return settings


def _free_run() -> int:
    dice = random.SystemRandom()
    while True:
        first = dice.randrange(12_000, 31_000)
        if all(ports.is_free(first + n) for n in range(_RUN_OF_PORTS)):
            return first
