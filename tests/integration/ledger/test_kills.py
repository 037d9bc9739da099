"""Processor, matcher and recorder as processes on a real broker: killed, frozen, and two at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from schemas.codec import decoder_for, encode
from schemas.commands import EnterOrder, PlaceOrder
from schemas.orders import Side
from schemas.topics import load_topics
from service_runtime.event_log import TopicPartition
from service_runtime.failpoints import EXIT_KILLED
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.migrations import migrate
from service_runtime.service import EXIT_FAULT
from service_runtime.settings import KafkaSettings, PostgresSettings, RedisSettings, ServiceSettings
from tapehouse import topics
from tapehouse.audit.audit import Options, audit
from tests import service_process
from tests.builders import ALICE, BOB, account_opened, funds_deposited, place_order
from tests.integration.ledger_world import MIGRATIONS
from tests.services import ExchangePlace

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[3]
TOPICS = load_topics()
BALANCE = 10**15
_decode = decoder_for(EnterOrder)


class Exchange:
    """Three services as processes; each can be killed and started again."""

    def __init__(self, settings: ServiceSettings, folder: Path) -> None:
        self.settings = settings
        self.log = KafkaEventLog(settings.kafka, "test")
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._frozen: list[subprocess.Popen[bytes]] = []

    def start(self, service: str, instance: int = 0, failpoint: str = "") -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS": self.settings.kafka.bootstrap_servers,
            "TAPEHOUSE_KAFKA__SESSION_TIMEOUT_MS": "1000",
            "TAPEHOUSE_POSTGRES__DSN": self.settings.postgres.dsn,
            "TAPEHOUSE_REDIS__URL": self.settings.redis.url,
            "TAPEHOUSE_INSTANCE": str(instance),
            "TAPEHOUSE_FAILPOINT": failpoint,
        }
        log_file = self._folder / f"{service}.log"
        process = service_process.start(service, environment=environment, log_file=log_file)
        self._running[f"{service}-{instance}" if instance else service] = process
        return process

    def freeze(self, service: str) -> subprocess.Popen[bytes]:
        """Stop it where it stands; whoever asked for that lets it go on, and sees to its end."""
        process = self._running.pop(service)
        process.send_signal(signal.SIGSTOP)
        self._frozen.append(process)
        return process

    def kill(self, service: str) -> None:
        self._running[service].kill()
        self._running[service].wait()

    def output(self, service: str) -> str:
        return (self._folder / f"{service.removesuffix('-1')}.log").read_text()[-3000:]

    def fund(self) -> None:
        for account_id in (ALICE, BOB):
            self._write("account-events", 0, encode(account_opened(account_id=account_id)))
            for asset in ("USDT", "BTC"):
                event = funds_deposited(
                    account_id=account_id,
                    asset=asset,
                    amount_minor=BALANCE,
                    deposit_id=f"{account_id}{asset}",
                )
                self._write("account-events", 0, encode(event))
        self.log.flush()

    def place(self, order: PlaceOrder) -> None:
        self._write("order-requests", TOPICS.partition_of_account(order.account_id), encode(order))

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.settings.postgres.dsn) as connection:
            return connection.execute(query.encode()).fetchall()

    def count(self, table: str) -> int:
        return int(str(self.rows(f"SELECT count(*) FROM {table}")[0][0]))

    def wait_for(self, what: str, reached: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            ended = {s: p.returncode for s, p in self._running.items() if p.poll() not in (None, -9)}
            if ended or time.monotonic() > deadline:
                logs = "\n".join(f"--- {s}\n{self.output(s)}" for s in self._running)
                raise AssertionError(f"{what} not reached; ended: {ended}\n{logs}")
            time.sleep(0.05)

    def entered(self) -> Counter[int]:
        """Return how often each order is in validated-orders."""
        source = TopicPartition("validated-orders", 0)
        _, end = self.log.offsets(source)
        return Counter(_decode(r.value).order_id for batch in self.log.read(source, 0, end) for r in batch)

    def stop(self) -> None:
        for process in (*self._running.values(), *self._frozen):
            process.kill()
            process.wait()
        self._running.clear()
        self._frozen.clear()

    def close(self) -> None:
        self.stop()
        self.log.close()

    def _write(self, topic: str, partition: int, value: bytes) -> None:
        self.log.append(topic, partition, value)


@pytest.fixture(scope="module")
def funded(exchange_place: ExchangePlace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Topics that hold nothing else; two accounts with money."""
    with exchange_place() as place:
        migrate(place.postgres, MIGRATIONS)
        topics.apply(place.kafka)
        made = Exchange(
            ServiceSettings(
                kafka=KafkaSettings(bootstrap_servers=place.kafka),
                postgres=PostgresSettings(dsn=place.postgres),
                redis=RedisSettings(url=place.redis),
            ),
            tmp_path_factory.mktemp("exchange"),
        )
        try:
            made.fund()
            made.start("recorder")
            made.wait_for("deposits", lambda: made.count("deposits") == 4)
            yield made
        finally:
            made.close()


@pytest.fixture
def exchange(funded: Exchange) -> Iterator[Exchange]:
    """Nothing runs at the start."""
    funded.stop()
    yield funded
    funded.stop()


@pytest.mark.timeout(180)
def test_a_batch_committed_and_not_emitted_goes_out_once_after_the_restart(exchange: Exchange) -> None:
    before = exchange.entered()
    exchange.place(place_order(client_order_id="dying"))
    exchange.log.flush()
    dying = exchange.start("processor", failpoint="processor.before_produce:1")
    assert dying.wait(60) == EXIT_KILLED, exchange.output("processor")
    ((order_id, reserved),) = exchange.rows(
        "SELECT order_id, available_delta FROM orders JOIN ledger ON reference = order_id AND source = 'R'"
        " WHERE client_order_id = 'dying'"
    )
    assert exchange.entered()[order_id] == 0
    exchange.start("processor")
    exchange.wait_for("the order in the log", lambda: exchange.entered()[order_id] > 0)
    exchange.place(place_order(client_order_id="after"))
    exchange.log.flush()
    exchange.wait_for("the next order", lambda: len(exchange.entered()) == len(before) + 2)
    assert exchange.entered()[order_id] == 1
    assert reserved == -3_000_000_000


def any_order(rnd: random.Random, client_order_id: str) -> PlaceOrder:
    return place_order(
        account_id=rnd.choice((ALICE, BOB)),
        side=rnd.choice((Side.BUY, Side.SELL)),
        client_order_id=client_order_id,
        price_ticks=3_000_000 + rnd.randint(-20, 20),
        quantity_lots=rnd.randint(1, 50),
    )


@pytest.mark.timeout(240)
def test_kills_at_any_moment_lose_and_double_nothing(exchange: Exchange) -> None:
    rnd = random.Random(random.randrange(2**32))  # follows from pytest-randomly's seed, which it prints
    services = ("processor", "matcher", "recorder")
    for service in services:
        exchange.start(service)
    before = len(exchange.entered())
    sent = 0
    for victim in (*services, rnd.choice(services)):
        for _ in range(150):
            exchange.place(any_order(rnd, f"c-{sent}"))
            sent += 1
        exchange.log.flush()
        wanted = before + sent - rnd.randint(1, 140)
        exchange.wait_for("some orders", lambda n=wanted: exchange.count("orders") >= n)
        exchange.kill(victim)
        exchange.start(victim)
    settled = "SELECT sequence FROM settled WHERE symbol = 'BTCUSDT'"
    exchange.wait_for("all orders settled", lambda: exchange.rows(settled) == [(before + sent,)])
    assert exchange.count("orders") == before + sent
    report = audit(exchange.settings, exchange.log, Options(wait_s=30))
    assert report.difference is None
    assert exchange.count("trades") > 50


@pytest.mark.timeout(240)
def test_a_frozen_processor_and_recorder_that_wake_up_harm_nothing(exchange: Exchange) -> None:
    rnd = random.Random(random.randrange(2**32))
    services = ("processor", "recorder")
    for service in ("matcher", *services):
        exchange.start(service)
    before = len(exchange.entered())
    settled = "SELECT sequence FROM settled WHERE symbol = 'BTCUSDT'"
    sent = 0

    def trade(orders: int) -> None:
        nonlocal sent
        for _ in range(orders):
            exchange.place(any_order(rnd, f"z-{sent}"))
            sent += 1
        exchange.log.flush()

    trade(200)
    exchange.wait_for("some orders", lambda: exchange.count("orders") > before)
    zombies = [exchange.freeze(service) for service in services]
    for service in services:
        exchange.start(service, instance=1)
    trade(50)
    exchange.wait_for("all settled by others", lambda: exchange.rows(settled) == [(before + sent,)])
    for zombie in zombies:
        zombie.send_signal(signal.SIGCONT)
    trade(50)
    exchange.wait_for("all settled", lambda: exchange.rows(settled) == [(before + sent,)])
    assert exchange.count("orders") == before + sent
    assert {zombie.poll() for zombie in zombies} <= {None, EXIT_FAULT}
    report = audit(exchange.settings, exchange.log, Options(wait_s=30))
    assert report.difference is None
