"""Holds the hot book against the engine's own, slice by slice: a right stamp does not prove what is under it.

A slice is read as one transaction with the stamp, and is judged only if the stamp is exactly where the
engine is; so neither Redis nor matching stands still, and another owner's work is never called wrong.
What a change between two slices brings is looked at by the next pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from matcher.hot_changes import open_order, stamped
from matcher.symbol_engine import SymbolEngine
from schemas.hot_book import OpenOrder, account_key, key
from schemas.orders import Side
from schemas.topics import request_of
from service_runtime.hot_book import HotBook

_SIDES = ((Side.BUY, "bids", "bid_lots"), (Side.SELL, "asks", "ask_lots"))
_NOT_OF_A_RECORD = frozenset({"partition", "offset"})
"""The engine notes how far the input was read without writing it."""
_MOST_DIGITS = 20
_decode_order = msgspec.json.Decoder(OpenOrder).decode


class HotBookDiffers(Exception):
    """The stamp is right, and what is under it is not."""


class _MovedOn(Exception):
    """The stamp is not where the engine is: no verdict."""


class HotCheck:
    """Goes through the symbols, one after the other, again and again."""

    PER_LOOK: Final = 250
    """Orders, levels and keys to look at in one `step`, about."""

    def __init__(self, hot: HotBook) -> None:
        self._hot = hot
        self._last = ""
        self._pass: tuple[SymbolEngine, Iterator[int]] | None = None

    def step(self, engines: Sequence[SymbolEngine]) -> tuple[SymbolEngine, str] | None:
        """Look at a little more; return a symbol's engine and what is wrong with its hot book.

        Raises HotBookAway.
        """
        looked = passes = 0
        while looked < self.PER_LOOK:
            if self._pass is None or self._pass[0] not in engines:
                if passes == len(engines):
                    break
                passes += 1
                self._begin(engines)
            engine, slices = self._pass or (None, iter(()))
            if engine is None:
                break
            try:
                looked += next(slices)
            except (StopIteration, _MovedOn):
                self._pass = None
            except HotBookDiffers as differs:
                self._pass = None
                return engine, str(differs)
            except BaseException:
                self._pass = None
                raise
        return None

    def _begin(self, engines: Sequence[SymbolEngine]) -> None:
        """Begin with the next symbol by name."""
        by_name = {engine.symbol: engine for engine in engines}
        later = [symbol for symbol in by_name if symbol > self._last]
        self._last = min(later or by_name)
        engine = by_name[self._last]
        self._pass = engine, _Pass(self._hot, engine).slices()


class _Pass:
    """Once through all of one symbol's hot book."""

    SLICE: Final = 250

    def __init__(self, hot: HotBook, engine: SymbolEngine) -> None:
        self._hot = hot
        self._engine = engine
        self._symbol = engine.symbol

    def slices(self) -> Iterator[int]:
        """Look at a slice for each `next`, yield how much it was. Raises HotBookDiffers and HotBookAway."""
        engine, size = self._engine, self.SLICE
        order_ids = list(engine.book.orders)
        levels = [[level.price_ticks for level in engine.book.ladder(s).in_priority()] for s, _, _ in _SIDES]
        yield self._head([len(prices) for prices in levels])
        for (side, prices_key, lots_key), prices in zip(_SIDES, levels, strict=True):
            for start in range(0, len(prices), size):
                yield self._levels(side, prices_key, lots_key, prices[start : start + size])
        for start in range(0, len(order_ids), size):
            yield self._orders(order_ids[start : start + size])
        yield from self._strange_orders()
        yield from self._accounts()

    def _read(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Read as the engine's state is, or not at all. Raises _MovedOn."""
        stamp = ("hmget", key(self._symbol, "stamp"), ["sequence", "hash"])
        found, *answers = self._hot.read([stamp, *commands])
        if found != [str(self._engine.sequence).encode(), self._engine.last_hash.encode()]:
            raise _MovedOn
        return answers

    def _head(self, counts: Sequence[int]) -> int:
        """The stamp's other fields, what was passed, and how many levels there are."""
        of = self._symbol
        sizes = [c for _, p, q in _SIDES for c in (("zcard", key(of, p)), ("hlen", key(of, q)))]
        stamp, passed, *found = self._read(
            ("hgetall", key(of, "stamp")), ("hgetall", key(of, "passed")), *sizes
        )
        fields = iter(stamped(self._engine, first_sequence=0).stamp())
        for name, value in zip(fields, fields, strict=True):
            if name not in _NOT_OF_A_RECORD and stamp.get(name.encode()) != value.encode():
                raise HotBookDiffers(f"stamp: {name}")
        expected = {str(n).encode(): str(offset).encode() for n, offset in self._engine.passed.items()}
        if passed != expected:
            raise HotBookDiffers("what was passed")
        if found != [count for count in counts for _ in range(2)]:
            raise HotBookDiffers("number of levels")
        return len(found) + len(passed)

    def _levels(self, side: Side, prices_key: str, lots_key: str, prices: list[int]) -> int:
        names = [str(price) for price in prices]
        scores, lots = self._read(
            ("zmscore", key(self._symbol, prices_key), names), ("hmget", key(self._symbol, lots_key), names)
        )
        ladder = self._engine.book.ladder(side)
        for price, score, shown in zip(prices, scores, lots, strict=True):
            now = ladder.lots_at(price)
            if (score, shown) != ((price, str(now).encode()) if now else (None, None)):
                raise HotBookDiffers(f"{side} level {price}")
        return len(prices)

    def _orders(self, order_ids: list[int]) -> int:
        """Every open order is there as it is, and in its account's set."""
        engine, open_orders = self._engine, self._engine.book.orders
        orders = [open_orders[order_id] for order_id in order_ids if order_id in open_orders]
        if not orders:
            return 0
        by_account: dict[int, list[int]] = {}
        for order in orders:
            by_account.setdefault(order.account_id, []).append(order.order_id)
        sets = [("smismember", account_key(self._symbol, a), ids) for a, ids in by_account.items()]
        names = [order.order_id for order in orders]
        found, *members = self._read(("hmget", key(self._symbol, "orders"), list(map(str, names))), *sets)
        for order, data in zip(orders, found, strict=True):
            shown = _order_of(data)
            if shown is None or shown != open_order(engine, order, shown.updated_at_ns):
                raise HotBookDiffers(f"order {order.order_id}")
        for account_id, there in zip(by_account, members, strict=True):
            if not all(there):
                raise HotBookDiffers(f"orders of account {account_id}")
        return len(orders)

    def _strange_orders(self) -> Iterator[int]:
        """What we do not have as open may only be on its way to us."""
        cursor, began = 0, False
        while cursor or not began:
            began = True
            ((cursor, found),) = self._read(("hscan", key(self._symbol, "orders"), cursor, None, self.SLICE))
            for name, data in found.items():
                if not self._may_be_there(name, data):
                    raise HotBookDiffers(f"order {name.decode(errors='replace')}")
            yield len(found)

    def _may_be_there(self, name: bytes, data: bytes) -> bool:
        order_id = _number(name)
        if order_id in self._engine.book.orders:
            return True
        shown = _order_of(data)
        if order_id is None or shown is None or not shown.pending:
            return False
        partition, offset = request_of(order_id)
        return self._engine.passed.get(partition, -1) < offset

    def _accounts(self) -> Iterator[int]:
        """No account has orders in its set that are not there."""
        cursor, began = 0, False
        while cursor or not began:
            began = True
            cursor, accounts = self._hot.account_sets(self._symbol, cursor, self.SLICE)
            for start in range(0, len(accounts), self.SLICE):
                self._members(accounts[start : start + self.SLICE])
            yield self.SLICE

    def _members(self, accounts: Sequence[str]) -> None:
        sets = self._read(*(("smembers", self._set_of(account)) for account in accounts))
        open_orders = self._engine.book.orders
        unknown: list[tuple[str, bytes]] = []
        for account, members in zip(accounts, sets, strict=True):
            for name in sorted(members):
                order_id = _number(name)
                order = None if order_id is None else open_orders.get(order_id)
                if order is None:
                    unknown.append((account, name))
                elif str(order.account_id) != account:
                    raise HotBookDiffers(f"orders of account {account}")
        if unknown:
            self._are_pending(unknown)

    def _set_of(self, account: str) -> str:
        return key(self._symbol, f"account:{account}")

    def _are_pending(self, unknown: Iterable[tuple[str, bytes]]) -> None:
        """Look again, with the orders: what was pending may have been handled meanwhile."""
        pairs = list(unknown)
        sets = [("smismember", self._set_of(account), [name]) for account, name in pairs]
        found, *there = self._read(("hmget", key(self._symbol, "orders"), [n for _, n in pairs]), *sets)
        for (account, name), data, (member,) in zip(pairs, found, there, strict=True):
            shown = _order_of(data)
            strange = shown is None or str(shown.account_id) != account
            if member and _number(name) not in self._engine.book.orders and strange:
                raise HotBookDiffers(f"orders of account {account}")


def _order_of(data: bytes | None) -> OpenOrder | None:
    """Return the order; None for what is none."""
    try:
        return None if data is None else _decode_order(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _number(name: bytes) -> int | None:
    return int(name) if name.isdigit() and len(name) < _MOST_DIGITS else None
