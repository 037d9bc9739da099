"""Simulated Redis: the commands that `service_runtime.hot_book.HotBook` uses, and its two scripts in Python.

The hot book's own code runs on it. tests/integration/simulation holds the scripts to the real ones.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, NamedTuple, Protocol

import msgspec
import redis

from service_runtime.breaker import Breaker
from service_runtime.hot_book import HotBook
from service_runtime.hot_book_scripts import ADD_PENDING, APPLY
from service_runtime.redis_trips import Command, Trip
from service_runtime.settings import RedisSettings

_BUILDER_EXPIRES_NS = 10_000_000_000
_SETTINGS = RedisSettings()


class Client(Protocol):
    """The process that asks."""

    def reach(self, place: str) -> None: ...

    def pause(self, most_ns: int) -> None: ...

    def strikes(self, place: str) -> bool: ...


class Kept(NamedTuple):
    """All keys as they were once, and when those end that do."""

    keys: dict[str, Any]
    expires: dict[str, int]


class SimRedis:
    """Keys of all kinds. Anything may vanish, or be as it was a while ago."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.keys: dict[str, Any] = {}
        self.away_until_ns = 0
        self.expires: dict[str, int] = {}
        self._now_ns = now_ns
        self._scripts = {
            _sha(ADD_PENDING): self._add_pending,
            _sha(APPLY): self._apply,
        }

    @property
    def away(self) -> bool:
        return self._now_ns() < self.away_until_ns

    def monotonic_s(self) -> float:
        return self._now_ns() / 1e9

    def run(self, name: str, *arguments: Any) -> Any:
        return getattr(self, name)(*arguments)

    def kept(self) -> Kept:
        """Return all that is in it."""
        return Kept(_copied(self.keys), dict(self.expires))

    def replace(self, prefix: str, old: Kept) -> bool:
        """Put keys back as they were; those that end still do, as a real server keeps it on disk."""
        gone = [key for key in self.keys if key.startswith(prefix)]
        self._unlink(*gone)
        back = {key: value for key, value in old.keys.items() if key.startswith(prefix)}
        self.keys |= _copied(back)
        self.expires |= {key: end for key, end in old.expires.items() if key in back}
        return bool(gone or back)

    # -- commands ---------------------------------------------------------------------------------

    def _get(self, key: str) -> Any:
        if key in self.expires and self.expires[key] <= self._now_ns():
            self._unlink(key)
        return self.keys.get(key)

    def _unlink(self, *keys: str) -> None:
        for key in keys:
            self.keys.pop(key, None)
            self.expires.pop(key, None)

    def get(self, key: str) -> bytes | None:
        found = self._get(key)
        return None if found is None else bytes(found)

    def set(self, key: str, value: bytes) -> None:
        self.keys[key] = value

    def hget(self, key: str, name: str) -> bytes | None:
        found = (self._get(key) or {}).get(_text(name))
        return found.encode() if isinstance(found, str) else found

    def hmget(self, key: str, names: list[str]) -> list[bytes | None]:
        return [self.hget(key, name) for name in names]

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        return {name.encode(): _bytes(value) for name, value in (self._get(key) or {}).items()}

    def hexists(self, key: str, name: str) -> int:
        return int(name in (self._get(key) or {}))

    def exists(self, key: str) -> int:
        return int(self._get(key) is not None)

    def scard(self, key: str) -> int:
        return len(self._get(key) or ())

    def hlen(self, key: str) -> int:
        return len(self._get(key) or ())

    zcard = hlen

    def smembers(self, key: str) -> set[bytes]:
        return {_bytes(name) for name in self._get(key) or ()}

    def smismember(self, key: str, names: list[Any]) -> list[int]:
        found = self._get(key) or {}
        return [int(_text(name) in found) for name in names]

    def zmscore(self, key: str, names: list[str]) -> list[float | None]:
        found = self._get(key) or {}
        return [float(name) if int(name) in found else None for name in names]

    def hscan(self, key: str, cursor: int, match: None, count: int) -> tuple[int, dict[bytes, bytes]]:
        return 0, self.hgetall(key)

    def zrange(self, key: str, first: int, last: int) -> list[bytes]:
        assert first == last, "only one end is asked for"
        prices = self._get(key)
        return [str(sorted(prices)[first]).encode()] if prices else []

    def evalsha(self, sha: str, count: int, *arguments: Any) -> int:
        return self._scripts[sha](list(arguments[:count]), list(arguments[count:]))

    def scan(self, pattern: str) -> list[str]:
        prefix = pattern.removesuffix("*")
        assert fnmatch.translate(pattern), pattern
        return [key for key in self.keys if key.startswith(prefix)]

    # -- the scripts ------------------------------------------------------------------------------

    def _add_pending(self, keys: list[str], args: list[Any]) -> int:
        stamp, passed, orders = keys
        if self._get(stamp) is None:
            return 0
        for i in range(1, len(args), 5):
            partition, offset, order_id, account_id, data = args[i : i + 5]
            seen = self.hget(passed, str(partition))
            if seen is None or int(seen) < int(offset):
                self.keys.setdefault(orders, {})[str(order_id)] = data
                self.keys.setdefault(f"{args[0]}{account_id}", {})[str(order_id)] = None
        return 1

    def _apply(self, keys: list[str], args: list[Any]) -> int:  # noqa: PLR0912 - as the script
        stamp, passed, orders, seen, bids, asks, bid_lots, ask_lots, building = keys
        prefix, first, change = args[0], int(args[1]), msgspec.json.decode(args[2])
        builder = self._get(building)
        if change["begins"] and builder is not None and not change["takes_over"]:
            return -2
        if change["begins"]:
            self._unlink(*keys)
            self._build(building, change["building"])
        elif change["building"]:
            if builder != change["building"]:
                return -2
            self._build(building, builder)
        else:
            have = self.hget(stamp, "sequence")
            if have is None:
                return -1 if builder is None else -2
            if change["sequence"] <= int(have):
                return 0
            if first > int(have) + 1:
                return -1
        for order_id, data in zip(args[3::2], args[4::2], strict=True):
            self.keys.setdefault(orders, {})[order_id] = data
        for account, *ids in change["set"]:
            self.keys.setdefault(prefix + account, {}).update(dict.fromkeys(ids))
        self._remove(orders, change["gone"])
        for account, *ids in change["left"]:
            self._remove(prefix + account, ids)
        levels = change["levels"]
        for side, price, lots in zip(levels[::3], levels[1::3], levels[2::3], strict=True):
            prices, quantities = (bids, bid_lots) if side == "B" else (asks, ask_lots)
            if lots == "0":
                self._remove(prices, [int(price)])
                self._remove(quantities, [price])
            else:
                self.keys.setdefault(prices, {})[int(price)] = None
                self.keys.setdefault(quantities, {})[price] = lots
        self._fill(seen, change["seen"])
        self._fill(passed, change["passed"])
        if not change["building"] or change["ends"]:
            self._fill(stamp, change["stamp"])
            self._unlink(building)
        return 1

    def _build(self, key: str, name: str) -> None:
        self.keys[key] = name
        self.expires[key] = self._now_ns() + _BUILDER_EXPIRES_NS

    def _remove(self, key: str, names: list[Any]) -> None:
        """A key that holds nothing does not exist."""
        found = self._get(key)
        if found is not None:
            for name in names:
                found.pop(name, None)
            if not found:
                self._unlink(key)

    def _fill(self, key: str, pairs: list[str]) -> None:
        if pairs:
            self.keys.setdefault(key, {}).update(zip(pairs[::2], pairs[1::2], strict=True))


class Connection:
    """As much of `redis.Redis` as the hot book uses, for one process."""

    def __init__(self, server: SimRedis, client: Client) -> None:
        self._server = server
        self._client = client

    def pipeline(self, transaction: bool = False) -> _Pipeline:
        return _Pipeline(self)

    def trip(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """One round trip, whose answer may be lost."""
        self._client.reach("hot")
        self._client.pause(300_000)
        lost = self._client.strikes("hot")
        if self._server.away or (lost and not commands):
            raise redis.ConnectionError("simulated: away")
        answers = [self._server.run(*command) for command in commands]
        if lost:
            raise redis.TimeoutError("simulated: the answer is lost")
        self._client.reach("hot done")
        return answers

    def get(self, key: str) -> Any:
        return self.trip([("get", key)])[0]

    def set(self, key: str, value: bytes) -> None:
        self.trip([("set", key, value)])

    def scan(self, cursor: int, match: str, count: int) -> tuple[int, list[bytes]]:
        return 0, [name.encode() for name in self.trip([("scan", match)])[0]]

    def scan_iter(self, match: str, count: int) -> list[str]:
        return list(self.trip([("scan", match)])[0])

    def unlink(self, *keys: str) -> None:
        self.trip([("_unlink", *keys)])

    def close(self) -> None:
        """Nothing is held."""


class _Pipeline:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._commands: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self._commands.append((name, *arguments))

    def execute(self) -> list[Any]:
        return self._connection.trip(self._commands)


class SimTrips:
    """`service_runtime.redis_trips.RedisTrips`: the server works when it is asked, and what came of it, an
    answer or a failure, waits for who takes it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outcomes: dict[Trip, list[Any] | redis.RedisError] = {}

    def run(self, commands: Sequence[Command]) -> list[Any]:
        return self.take(self.send(commands))

    def send(self, commands: Sequence[Command]) -> Trip:
        trip = Trip(len(commands))
        outcome: list[Any] | redis.RedisError
        try:
            outcome = self._connection.trip([_call(*command) for command in commands])
        except redis.RedisError as error:
            outcome = error
        self._outcomes[trip] = outcome
        return trip

    def take(self, trip: Trip) -> list[Any]:
        outcome = self._outcomes.pop(trip)
        if isinstance(outcome, redis.RedisError):
            raise outcome
        return outcome

    def close(self) -> None:
        """Nothing is held."""


def _call(name: Any, *arguments: Any) -> tuple[Any, ...]:
    """Return a command as redis-py has it."""
    if name == "HMGET":
        return "hmget", arguments[0], list(arguments[1:])
    return name.lower(), *arguments


class SimHotBook(HotBook):
    """The real client on the simulated server."""

    def __init__(self, server: SimRedis, client: Client) -> None:
        super().__init__(_SETTINGS)
        self._breaker = Breaker("Redis", _SETTINGS.retry_after_ms / 1000, server.monotonic_s)
        connection = Connection(server, client)
        self._redis = connection  # type: ignore[assignment]
        self._trips = SimTrips(connection)  # type: ignore[assignment]


def _copied(keys: dict[str, Any]) -> dict[str, Any]:
    return {key: dict(value) if isinstance(value, dict) else value for key, value in keys.items()}


def _sha(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
