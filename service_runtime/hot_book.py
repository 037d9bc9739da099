"""The hot book as processor and matcher write and read it.

Keys are listed in `schemas/hot_book.py`. Every write is one script call per symbol that compares the
stamp, so that a late or repeated write changes nothing. Redis is never truth: every call may fail,
a failure opens a breaker for a moment, and callers take their slower way on `HotBookAway`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar, cast

import msgspec
import redis
import structlog

from schemas.hot_book import OpenOrder, account_key, key
from schemas.orders import MarketState
from schemas.topics import request_of
from service_runtime.book_change import BookChange
from service_runtime.breaker import Breaker
from service_runtime.hot_book_scripts import ADD_PENDING, APPLY
from service_runtime.redis_trips import Command, RedisTrips, Trip
from service_runtime.settings import RedisSettings

_decode_order = msgspec.json.Decoder(OpenOrder).decode
_encode = msgspec.json.encode
_log = structlog.get_logger("hot_book")
T = TypeVar("T")
Call = tuple[list[str], list[Any]]
"""A script's keys and arguments."""
_PARTS = ("stamp", "passed", "orders", "seen", "bids", "asks", "bid_lots", "ask_lots", "building")
_TYPES = {"bids": b"zset", "asks": b"zset", "building": b"string"}
"""Of a part's value; the others are hashes."""
_WRONG_TYPE = "WRONGTYPE"


class HotBookAway(Exception):
    """Redis did not answer, or there is no hot book for the symbol: take the slower way."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where the hot book of a symbol stands."""

    partition: int
    offset: int
    sequence: int
    record_hash: str
    state: MarketState
    until_ns: int | None
    last_price_ticks: int | None


@dataclass(frozen=True, slots=True)
class Pending:
    """An accepted order on its way to the matcher."""

    symbol: str
    source_partition: int
    source_offset: int
    order: OpenOrder


@dataclass(frozen=True, slots=True)
class Touch:
    """What the processor asks of a symbol: best prices and the last trade's, None where there is none."""

    bid_ticks: int | None
    ask_ticks: int | None
    last_price_ticks: int | None


class _Posted(NamedTuple):
    """A script that was sent, and whose answers nobody has looked at."""

    script: Any
    commands: list[Command]
    trip: Trip


class HotBook:
    """The blocking client, for processor and matcher. Every method raises HotBookAway on failure."""

    def __init__(self, settings: RedisSettings) -> None:
        timeout_s = settings.timeout_ms / 1000
        self._redis = redis.Redis.from_url(
            settings.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=None
        )
        self._trips = RedisTrips(self._redis)
        self._posted: _Posted | None = None
        self._breaker = Breaker("Redis", settings.retry_after_ms / 1000)
        self._add_pending = self._redis.register_script(ADD_PENDING)
        self._apply = self._redis.register_script(APPLY)

    def close(self) -> None:
        self._trips.close()
        self._redis.close()

    def _guarded(self, work: Callable[[], T]) -> T:
        """Do some work with Redis. What was posted before is done first, or has failed as this work does."""

        def after_posted() -> T:
            self._take_posted()
            return work()

        return self._attempt(after_posted if self._posted is not None else work)

    def _attempt(self, work: Callable[[], T]) -> T:
        if self._breaker.is_open:
            self._posted = None
            raise HotBookAway("Redis is left alone after a failure")
        try:
            result = work()
        except (redis.RedisError, OSError) as error:
            if _WRONG_TYPE in str(error):
                self._remove_strangers()
            else:
                self._breaker.failed(error)
            raise HotBookAway(str(error)) from error
        self._breaker.succeeded()
        return result

    def _remove_strangers(self) -> None:
        """Remove what none of us wrote, with the stamp of its symbol: the matcher then writes all of it."""
        try:
            for stamp in list(self._redis.scan_iter(match=key("*", "stamp"), count=1000)):
                symbol = stamp.decode().partition("{")[2].partition("}")[0]
                found = {part: self._redis.type(key(symbol, part)) for part in _PARTS}
                wrong = [p for p, kind in found.items() if kind not in (b"none", _TYPES.get(p, b"hash"))]
                if wrong:
                    _log.error("hot book tampered with, removed", symbol=symbol, parts=wrong)
                    self._redis.unlink(key(symbol, "stamp"), *(key(symbol, part) for part in wrong))
        except (redis.RedisError, OSError) as error:
            self._breaker.failed(error)

    def _run(self, script: Any, calls: Sequence[Call]) -> list[Any]:
        """Run one script for several symbols in one round trip, by its hash."""
        commands = _by_hash(script, calls)
        return self._guarded(lambda: self._answers(script, commands, self._trips.send(commands)))

    def _post(self, script: Any, calls: Sequence[Call]) -> None:
        """Run one script for several symbols without waiting: whatever comes next finds it done."""

        def work() -> None:
            commands = _by_hash(script, calls)
            self._posted = _Posted(script, commands, self._trips.send(commands))

        self._guarded(work)

    def _take_posted(self) -> None:
        posted, self._posted = self._posted, None
        if posted is not None:
            self._answers(*posted)

    def _answers(self, script: Any, commands: Sequence[Command], trip: Trip) -> list[Any]:
        try:
            return self._trips.take(trip)
        except redis.exceptions.NoScriptError:
            self._trips.run([("SCRIPT", "LOAD", script.script)])
            return self._trips.run(commands)

    def settle(self) -> None:
        """Wait for what was posted. Raises HotBookAway if it was not done."""
        if self._posted is not None:
            self._guarded(lambda: None)

    def add_pending(self, accepted: Iterable[Pending]) -> None:
        """Write accepted orders of any symbols; those the matcher has handled already are left alone.

        Nobody waits for it: it is done before anything else that is asked of this object, and what comes
        of it is told then, or by `settle`.
        """
        by_symbol: dict[str, list[Any]] = {}
        for p in accepted:
            args = by_symbol.setdefault(p.symbol, [key(p.symbol, "account:")])
            args += [p.source_partition, p.source_offset, p.order.order_id, p.order.account_id]
            args.append(_encode(p.order))
        if by_symbol:
            self._post(
                self._add_pending,
                [([key(s, part) for part in ("stamp", "passed", "orders")], a) for s, a in by_symbol.items()],
            )

    def apply(self, changes: Sequence[BookChange]) -> dict[str, bool]:
        """Write batches; return the symbols whose hot book could not take theirs.

        True: something is missing there, the whole book is needed. False: somebody else is writing it.
        """
        if not changes:
            return {}
        calls = [([key(c.symbol, part) for part in _PARTS], c.arguments()) for c in changes]
        for change in changes:
            if change.begins:
                self._forget_accounts(change.symbol)
        answers = self._run(self._apply, calls)
        return {
            c.symbol: int(answer) == -1 for c, answer in zip(changes, answers, strict=True) if int(answer) < 0
        }

    def _forget_accounts(self, symbol: str) -> None:
        def work() -> None:
            keys = list(self._redis.scan_iter(match=key(symbol, "account:") + "*", count=1000))
            for start in range(0, len(keys), 1000):
                self._redis.unlink(*keys[start : start + 1000])

        self._guarded(work)

    def read(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run reading commands, each a method of redis-py and its arguments, as one transaction."""

        def work() -> list[Any]:
            pipeline = self._redis.pipeline(transaction=True)
            for name, *arguments in commands:
                getattr(pipeline, name)(*arguments)
            return list(pipeline.execute())

        return self._guarded(work)

    def account_sets(self, symbol: str, cursor: int, count: int) -> tuple[int, list[str]]:
        """Look at some `count` keys from `cursor` on: the next cursor, 0 at the end, and whose accounts' open
        orders of the symbol were among them."""
        prefix = key(symbol, "account:")
        found: Any = self._guarded(lambda: self._redis.scan(cursor, match=prefix + "*", count=count))
        after, keys = found
        return int(after), sorted(name.decode(errors="replace")[len(prefix) :] for name in keys)

    def sequences(self, symbols: Sequence[str]) -> dict[str, int | None]:
        """Return the stamped sequence of each symbol, None where there is no hot book."""

        def work() -> list[Any]:
            pipeline = self._redis.pipeline(transaction=False)
            for symbol in symbols:
                pipeline.hget(key(symbol, "stamp"), "sequence")
            return list(pipeline.execute())

        found = self._guarded(work)
        return {s: _number(v) for s, v in zip(symbols, found, strict=True)}

    def stamps(self, symbols: Sequence[str]) -> dict[str, tuple[int, str] | None]:
        """Return the stamped (sequence, record hash) of each symbol, None where there is no hot book.

        A stamp that is none of ours is as good as missing.
        """

        def work() -> list[Any]:
            pipeline = self._redis.pipeline(transaction=False)
            for symbol in symbols:
                pipeline.hmget(key(symbol, "stamp"), ["sequence", "hash"])
            return list(pipeline.execute())

        stamps: dict[str, tuple[int, str] | None] = {}
        for symbol, (number, record_hash) in zip(symbols, self._guarded(work), strict=True):
            sequence = _number(number)
            if sequence is None or record_hash is None:
                stamps[symbol] = None
            else:
                stamps[symbol] = sequence, record_hash.decode(errors="replace")
        return stamps

    def ask_touch(self, symbols: Mapping[str, bool]) -> Callable[[], dict[str, Touch | None]]:
        """Ask for the last price of each symbol, and the best ones where it says True.

        What is returned waits for the answer: None where there is no hot book. Both raise HotBookAway.
        """
        commands: list[Command] = []
        for symbol, best in symbols.items():
            commands.append(("HMGET", key(symbol, "stamp"), "sequence", "last_price_ticks"))
            if best:
                commands.append(("ZRANGE", key(symbol, "bids"), -1, -1))
                commands.append(("ZRANGE", key(symbol, "asks"), 0, 0))
        trip = self._attempt(lambda: self._trips.send(commands))

        def answer() -> dict[str, Touch | None]:
            found = iter(self._guarded(lambda: self._trips.take(trip)))
            return {
                symbol: _touch_of(next(found), *((next(found), next(found)) if best else ([], [])))
                for symbol, best in symbols.items()
            }

        return answer

    def open_counts(self, pairs: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int | None]:
        """Return open orders per (symbol, account), pending ones too; None where there is no hot book."""

        def work() -> list[Any]:
            pipeline = self._redis.pipeline(transaction=False)
            for symbol, account_id in pairs:
                pipeline.exists(key(symbol, "stamp"))
                pipeline.scard(account_key(symbol, account_id))
            return list(pipeline.execute())

        found = self._guarded(work)
        return {pair: int(found[2 * i + 1]) if found[2 * i] else None for i, pair in enumerate(pairs)}

    def still_open(self, orders: Sequence[tuple[str, int]]) -> dict[tuple[str, int], bool | None]:
        """Return whether each (symbol, order id) is open; None where there is no hot book.

        One that the matcher has not come to yet is open: what it has passed is read before the order,
        so that an order that is missing there has ended.
        """

        return {
            order: (bool(present) or waiting) if stamped else None
            for order, stamped, waiting, present in self._places(orders, "hexists")
        }

    def open_leaves(self, orders: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int | None]:
        """Return the open lots of each (symbol, order id), 0 when it has ended; None: not known here."""
        answer: dict[tuple[str, int], int | None] = {}
        for order, stamped, waiting, data in self._places(orders, "hget"):
            if not stamped or (data is None and waiting):
                answer[order] = None
            else:
                answer[order] = 0 if data is None else _leaves_of(data)
        return answer

    def _places(
        self, orders: Sequence[tuple[str, int]], command: Literal["hget", "hexists"]
    ) -> Iterator[tuple[tuple[str, int], bool, bool, Any]]:
        """Yield each (symbol, order id), whether there is a hot book, whether the matcher has yet to come to
        the order, and what `command` finds of it."""

        def work() -> list[Any]:
            pipeline = self._redis.pipeline(transaction=False)
            for symbol, order_id in orders:
                pipeline.exists(key(symbol, "stamp"))
                pipeline.hget(key(symbol, "passed"), str(request_of(order_id)[0]))
                getattr(pipeline, command)(key(symbol, "orders"), str(order_id))
            return list(pipeline.execute())

        found = self._guarded(work) if orders else []
        for i, order in enumerate(orders):
            stamped, passed, place = found[3 * i : 3 * i + 3]
            last = _number(passed)
            waiting = last is None or last < request_of(order[1])[1]
            yield order, bool(stamped), waiting, place

    def look(self, symbols: Sequence[str]) -> dict[str, Stamp | None]:
        """Return where each symbol's hot book stands, None where there is none."""

        def work() -> list[Any]:
            pipeline = self._redis.pipeline(transaction=False)
            for symbol in symbols:
                pipeline.hgetall(key(symbol, "stamp"))
            return list(pipeline.execute())

        return {s: _stamp_of(found) for s, found in zip(symbols, self._guarded(work), strict=True)}

    def put_snapshot(self, symbol: str, name: str, record: bytes) -> None:
        """Keep one record of a snapshot; `name` is what its key in `book-snapshots` says after the symbol."""
        self._guarded(lambda: self._redis.set(key(symbol, f"snapshot/{name}"), record))

    def snapshot(self, symbol: str, name: str) -> bytes | None:
        """Return a record of a snapshot: verify it by hash, never trust it over the log."""
        return self._guarded(lambda: cast("bytes | None", self._redis.get(key(symbol, f"snapshot/{name}"))))


def _by_hash(script: Any, calls: Sequence[Call]) -> list[Command]:
    return [("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in calls]


def _number(text: bytes | None) -> int | None:
    """Return the number, None for what is none: somebody else may have written it."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _leaves_of(data: bytes) -> int | None:
    try:
        return _decode_order(data).leaves_lots
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _touch_of(stamp: list[bytes | None], bid: list[bytes], ask: list[bytes]) -> Touch | None:
    sequence, last = stamp
    if sequence is None:
        return None
    return Touch(_number(bid[0]) if bid else None, _number(ask[0]) if ask else None, _number(last))


def _stamp_of(found: dict[bytes, bytes]) -> Stamp | None:
    if b"sequence" not in found or b"hash" not in found:
        return None
    until_ns, last = found.get(b"until_ns"), found.get(b"last_price_ticks")
    return Stamp(
        int(found.get(b"partition", -1)),
        int(found.get(b"offset", -1)),
        int(found[b"sequence"]),
        found[b"hash"].decode(),
        MarketState(found.get(b"state", b"TRADING").decode()),
        int(until_ns) if until_ns else None,
        None if last is None else int(last),
    )
