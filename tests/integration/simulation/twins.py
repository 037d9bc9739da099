"""A simulated exchange whose stores and hot book are real too: every call goes to both, who must agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import redis

from matcher.handlers import MatcherHandler
from matcher.settings import MatcherSettings, StandbySettings
from matcher.standby import StandbyHandler
from processor.handlers import ProcessorHandler
from processor.store import Store as ProcessorStore
from recorder.handlers import RecorderHandler
from recorder.store import Store as RecorderStore
from service_runtime.errors import Fault
from service_runtime.hot_book import HotBook
from service_runtime.postgres import connect
from service_runtime.service import Handler
from service_runtime.settings import PostgresSettings, RedisSettings
from tests.simulation.exchange.faults import Fault as Injected
from tests.simulation.exchange.process import Process, SimClock
from tests.simulation.exchange.sim_redis import SimHotBook
from tests.simulation.exchange.stores import SimProcessorStore, SimRecorderStore
from tests.simulation.exchange.world import INSTRUMENTS, TOPICS, World

_HARMLESS = (
    Injected.DUPLICATE,
    Injected.POISON,
    Injected.SPLIT,
    Injected.SESSION_LOST,
    Injected.STOP,
    Injected.SNAPSHOT_DAMAGED,
    Injected.CLOCK,
)
"""Faults that leave nothing half done: the real servers cannot be broken off at the same place."""


class Twin:
    """Calls the simulated one first: it may wait, and when it is done the real one need not."""

    def __init__(self, simulated: Any, real: Any) -> None:
        self._simulated, self._real = simulated, real

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return both(name, getattr(self._simulated, name), getattr(self._real, name))


def both(name: str, simulated: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls both and compares what they return: now, or when what they return is called."""

    def call(*arguments: Any) -> Any:
        expected, found = outcome(simulated, arguments), outcome(real, arguments)
        if isinstance(expected, Fault) and type(expected) is type(found):
            raise expected
        if callable(expected) and callable(found):
            return both(f"{name}{arguments}", expected, found)
        assert found == expected, f"{name}{arguments}"
        return found

    return call


def outcome(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Return the result, or the fault that was raised."""
    try:
        return call(*arguments)
    except Fault as fault:
        return fault


class Still:
    """A client for whom no time passes and nothing goes wrong."""

    def reach(self, place: str) -> None: ...

    def pause(self, most_ns: int) -> None: ...

    def strikes(self, place: str) -> bool:
        return False


class TwinWorld(World):
    def __init__(self, seed: int, dsn: str, redis_url: str) -> None:
        self._dsn, self._redis = dsn, RedisSettings(url=redis_url)
        self._connections: list[psycopg.Connection] = []
        self._hot_books: list[HotBook] = []
        super().__init__(seed)
        self.faults.only(_HARMLESS)

    def build(self, process: Process) -> Handler:
        clock = SimClock(process)
        if process.node.service == "processor":
            store: Any = Twin(
                SimProcessorStore(process.connection, INSTRUMENTS),
                ProcessorStore(self._connect(), INSTRUMENTS),
            )
            return ProcessorHandler(process.log, store, self._hot_book(), clock, TOPICS, INSTRUMENTS)
        if process.node.service == "matcher":
            settings = MatcherSettings(instance=process.node.instance, **self._settings)
            return MatcherHandler(settings, process.log, self._hot_book(), clock)
        if process.node.service == "matcher-standby":
            standby = StandbySettings(instance=process.node.instance, **self._settings)
            return StandbyHandler(standby, process.log, self._hot_book(), clock)
        if process.node.service == "recorder":
            store = Twin(SimRecorderStore(process.connection), RecorderStore(self._connect()))
            return RecorderHandler(process.log, store, clock, TOPICS, INSTRUMENTS)
        return super().build(process)

    def settle_hot_books(self) -> None:
        """Wait for what was written to the real hot book without waiting."""
        for hot_book in self._hot_books:
            hot_book.settle()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        for hot_book in self._hot_books:
            hot_book.close()

    def _connect(self) -> psycopg.Connection:
        connection = connect(PostgresSettings(dsn=self._dsn), "twin", wait=False)
        connection.execute("SET lock_timeout = '20s'")
        connection.commit()
        self._connections.append(connection)
        return connection

    def _hot_book(self) -> Any:
        real = HotBook(self._redis)
        self._hot_books.append(real)
        return Twin(SimHotBook(self.redis, Still()), real)


def real_keys(client: redis.Redis) -> dict[str, Any]:
    """Return every key of the hot books as the simulation holds them."""
    found: dict[str, Any] = {}
    for name in client.scan_iter("hot:*"):
        key = name.decode()
        kind = client.type(name)
        if kind == b"hash":
            found[key] = dict(client.hgetall(name))
        elif kind == b"set":
            found[key] = dict.fromkeys(client.smembers(name))
        elif kind == b"zset":
            found[key] = dict.fromkeys(client.zrange(name, 0, -1))
        else:
            found[key] = client.get(name)
    return found


def simulated_keys(keys: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {_bytes(n): None if v is None else _bytes(v) for n, v in value.items()}
        if isinstance(value, dict)
        else _bytes(value)
        for key, value in keys.items()
    }


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
