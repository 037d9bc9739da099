"""Processor and recorder on a log in memory, with a real database and a real hot book."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis

from matcher.handlers import MatcherHandler
from matcher.settings import MatcherSettings
from processor.handlers import ProcessorHandler
from processor.store import Store as ProcessorStore
from recorder.handlers import RecorderHandler
from recorder.store import Store as RecorderStore
from schemas.codec import decoder_for_union, encode
from schemas.commands import VALIDATED_ORDERS
from schemas.envelope import Message
from schemas.events import ORDER_REPLIES, DeadLetter
from schemas.instruments import Instruments, load_instruments
from schemas.topics import load_topics
from service_runtime.clock import ManualClock
from service_runtime.event_log import Record, TopicPartition
from service_runtime.hot_book import HotBook
from service_runtime.memory_log import MemoryBroker, MemoryEventLog
from service_runtime.migrations import migrate
from service_runtime.postgres import connect
from service_runtime.service import Handler
from service_runtime.settings import PostgresSettings, RedisSettings, ServiceSettings
from tests.builders import ALICE, BOB, account_opened, funds_deposited

MIGRATIONS = Path(__file__).resolve().parents[2] / "recorder" / "migrations"
INSTRUMENTS = load_instruments()
TOPICS = load_topics()
_PARTITIONS = {name: topic.partitions for name, topic in TOPICS.topics.items()}
_VALIDATED = decoder_for_union(VALIDATED_ORDERS)
_REPLIES = decoder_for_union(ORDER_REPLIES)
_LETTERS = decoder_for_union(DeadLetter)


@dataclass
class Running:
    """One handler on its own view of the log, driven by hand."""

    handler: Handler
    log: MemoryEventLog
    started: bool = False

    def start(self) -> Running:
        """Take all partitions, as the only member."""
        sources = [s for s in sorted(self.log.broker.records) if s.topic in self.handler.topics]
        self.log.assign(dict(self.handler.on_assigned(sources)))
        self.started = True
        return self

    def drain(self, max_batch: int = 500) -> None:
        """Handle everything that is in the log."""
        if not self.started:
            self.start()
        while batch := self.log.poll(max_batch, 0):
            self.handler.handle(batch)
        self.handler.idle()
        self.handler.idle()

    def deliver(self, batch: list[Record]) -> None:
        self.handler.handle(batch)


@dataclass
class World:
    dsn: str
    redis_url: str
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(_PARTITIONS))
    clock: ManualClock = field(default_factory=ManualClock)
    _handlers: list[Handler] = field(default_factory=list)

    def processor(self, log: MemoryEventLog | None = None, instruments: Instruments = INSTRUMENTS) -> Running:
        log = log or MemoryEventLog(self.broker)
        store = ProcessorStore(self._connect("processor"), instruments)
        hot_book = HotBook(RedisSettings(url=self.redis_url, retry_after_ms=60_000))
        handler = ProcessorHandler(log, store, hot_book, self.clock, TOPICS, instruments)
        self._handlers.append(handler)
        return Running(handler, log)

    def recorder(self, log: MemoryEventLog | None = None) -> Running:
        log = log or MemoryEventLog(self.broker)
        store = RecorderStore(self._connect("recorder"))
        handler = RecorderHandler(log, store, self.clock, TOPICS, INSTRUMENTS)
        self._handlers.append(handler)
        return Running(handler, log)

    def matcher(self) -> Running:
        log = MemoryEventLog(self.broker)
        settings = MatcherSettings(redis=RedisSettings(url=self.redis_url))
        handler = MatcherHandler(settings, log, HotBook(settings.redis), self.clock)
        self._handlers.append(handler)
        return Running(handler, log)

    def settings(self) -> ServiceSettings:
        """What a tool needs to find the database and the hot book."""
        return ServiceSettings(
            postgres=PostgresSettings(dsn=self.dsn), redis=RedisSettings(url=self.redis_url)
        )

    def request(self, request: Any) -> int:
        """Write a request where ingest would; return its offset."""
        partition = TOPICS.partition_of_account(request.account_id)
        return self.broker.write("order-requests", partition, encode(request))

    def trade(self, message: Message, partition: int = 0) -> int:
        return self.broker.write("trade-execution", partition, encode(message))

    def account(self, message: Any) -> int:
        return self.broker.write("account-events", message.account_id % 4, encode(message))

    def fund(self, **amounts: int) -> None:
        """Open ALICE and BOB and give each of them these amounts."""
        for account_id in (ALICE, BOB):
            self.account(account_opened(account_id=account_id))
            for asset, amount in amounts.items():
                deposit = f"{account_id}-{asset}"
                self.account(
                    funds_deposited(
                        account_id=account_id, asset=asset, amount_minor=amount, deposit_id=deposit
                    )
                )
        self.recorder().drain()

    def validated(self) -> list[Any]:
        return [_VALIDATED(value) for value in self.broker.values("validated-orders")]

    def replies(self) -> list[Any]:
        return [_REPLIES(value) for value in self.broker.values("order-replies")]

    def letters(self) -> list[DeadLetter]:
        return [_LETTERS(value) for value in self.broker.values("dead-letters")]

    def rows(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(query.encode(), args).fetchall()

    def execute(self, statement: str, *args: Any) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute(statement.encode(), args)

    def wallet(self, account_id: int, asset: str) -> tuple[int, int]:
        query = "SELECT available, locked FROM wallets WHERE account_id = %s AND asset = %s"
        found = self.rows(query, account_id, asset)
        return (found[0][0], found[0][1]) if found else (0, 0)

    def assert_conserved(self) -> None:
        """Money is neither made nor lost, and every wallet is the sum of its ledger rows."""
        sums = self.rows("SELECT asset, sum(available + locked) FROM wallets GROUP BY asset")
        assert all(total == 0 for _, total in sums), sums
        differing = self.rows(
            "SELECT * FROM (SELECT account_id, asset, sum(available_delta) a, sum(locked_delta) l FROM ledger"
            " GROUP BY 1, 2) j FULL JOIN wallets w USING (account_id, asset)"
            " WHERE (coalesce(j.a, 0), coalesce(j.l, 0)) IS DISTINCT FROM (w.available, w.locked)"
        )
        assert differing == []

    def table(self, name: str) -> list[tuple[Any, ...]]:
        return self.rows(f"SELECT * FROM {name} ORDER BY 1, 2, 3, 4")

    def end(self, topic: str, partition: int = 0) -> int:
        return len(self.broker.records[TopicPartition(topic, partition)])

    def close(self) -> None:
        for handler in self._handlers:
            handler.close()

    def _connect(self, name: str) -> psycopg.Connection:
        return connect(PostgresSettings(dsn=self.dsn), name)


@contextmanager
def world(fresh_database: Callable[[], str], redis_url: str) -> Iterator[World]:
    dsn = fresh_database()
    migrate(dsn, MIGRATIONS)
    hot_url = urlunsplit(urlsplit(redis_url)._replace(path="/7"))
    with redis.Redis.from_url(hot_url) as client:
        client.flushdb()
    made = World(dsn, hot_url)
    try:
        yield made
    finally:
        made.close()
