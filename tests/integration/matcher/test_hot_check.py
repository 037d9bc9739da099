"""What stands under a right stamp in a real Redis is held against the engine, and mended."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
import pytest
import redis

from matcher import SymbolEngine
from matcher.hot_check import HotCheck, _Pass
from matcher.hot_writer import HotWriter
from schemas.hot_book import OpenOrder, account_key, key
from schemas.orders import OrderType, Side, TimeInForce
from schemas.topics import order_id_of, request_of
from service_runtime.hot_book import HotBook, Pending
from service_runtime.settings import RedisSettings
from tests.simulation.matcher.test_hot_changes import unique_inputs
from tests.simulation.matcher.trader import MARKETPLACES
from tests.unit.matcher.orders import BUY, SELL, Desk

TRADED = 60
SYMBOL = "BTCUSDT"
_order = msgspec.json.Decoder(OpenOrder).decode


@dataclass
class Written:
    """An engine with open orders of four accounts, and its hot book."""

    client: redis.Redis
    hot: HotBook
    engine: SymbolEngine
    writer: HotWriter

    def dump(self) -> dict[bytes, Any]:
        """Return all that is in Redis, without when orders were changed last."""
        found: dict[bytes, Any] = {}
        for name in self.client.scan_iter("hot:*"):
            kind = self.client.type(name)
            if kind == b"hash":
                found[name] = self.client.hgetall(name)
            elif kind == b"set":
                found[name] = self.client.smembers(name)
            else:
                found[name] = self.client.zrange(name, 0, -1, withscores=True)
        of_orders = key(SYMBOL, "orders").encode()
        found[of_orders] = {
            name: msgspec.structs.replace(_order(data), updated_at_ns=0)
            for name, data in found[of_orders].items()
        }
        return found

    def look(self) -> str | None:
        """Look at everything once; return what is wrong."""
        found = HotCheck(self.hot).step([self.engine])
        return None if found is None else found[1]


@pytest.fixture
def written(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    monkeypatch.setattr(_Pass, "SLICE", 7)
    monkeypatch.setattr(HotCheck, "PER_LOOK", 10_000)  # all of it
    url = urlunsplit(urlsplit(redis_url)._replace(path="/9"))
    hot = HotBook(RedisSettings(url=url))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        engine = _desk().engine
        writer = HotWriter(hot, "test")
        writer.mend({SYMBOL: engine}, ahead_is_wrong=True)
        yield Written(client, hot, engine, writer)
    hot.close()


def _desk() -> Desk:
    """Thirty bids, thirty asks, two to a level, and two more that traded with each other."""
    desk = Desk()
    for n in range(60):
        side, price = (BUY, 1_000 - n // 2) if n < 30 else (SELL, 1_001 + n // 2)
        desk.enter(order_id_of(0, n), side, price, 5 + n, account_id=7 + n % 4)
    for n, side in ((TRADED, BUY), (TRADED + 1, SELL)):
        desk.enter(order_id_of(0, n), side, 1_005, 3, account_id=7 + n % 4)
    return desk


def _first(written: Written) -> str:
    return str(min(written.engine.book.orders))


def _owner(written: Written) -> str:
    order = written.engine.book.orders[int(_first(written))]
    return account_key(SYMBOL, order.account_id)


def _changed_leaves(written: Written) -> None:
    data = written.client.hget(key(SYMBOL, "orders"), _first(written))
    shown = _order(data)
    other = msgspec.structs.replace(shown, leaves_lots=shown.leaves_lots + 1)
    written.client.hset(key(SYMBOL, "orders"), _first(written), msgspec.json.encode(other))


def _invent_order(written: Written) -> None:
    data = written.client.hget(key(SYMBOL, "orders"), _first(written))
    written.client.hset(key(SYMBOL, "orders"), str(order_id_of(3, 10**6)), data)


def _pending_that_was_passed(written: Written) -> None:
    order_id = order_id_of(0, TRADED)
    pending = _pending(order_id, account_id=99)
    written.client.hset(key(SYMBOL, "orders"), str(order_id), msgspec.json.encode(pending.order))


def _pending(order_id: int, account_id: int) -> Pending:
    order = OpenOrder(
        order_id=order_id,
        account_id=account_id,
        client_order_id="p",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=1,
        quantity_lots=1,
        leaves_lots=1,
        executed_quote_minor=0,
        entered_at_ns=1,
        updated_at_ns=1,
        pending=True,
    )
    return Pending(SYMBOL, *request_of(order_id), order)


def _a_bid(written: Written) -> bytes:
    return bytes(written.client.zrange(key(SYMBOL, "bids"), 0, 0)[0])


TAMPERED: dict[str, Callable[[Written], Any]] = {
    "lots of a level": lambda w: w.client.hset(key(SYMBOL, "bid_lots"), _a_bid(w), "1234567"),
    "level invented": lambda w: w.client.hset(key(SYMBOL, "ask_lots"), "1", "77"),
    "price invented": lambda w: w.client.zadd(key(SYMBOL, "asks"), {"not a price": 5}),
    "price lost": lambda w: w.client.zrem(key(SYMBOL, "bids"), _a_bid(w)),
    "score changed": lambda w: w.client.zadd(key(SYMBOL, "bids"), {_a_bid(w): 2**40}),
    "side lost": lambda w: w.client.delete(key(SYMBOL, "bids"), key(SYMBOL, "bid_lots")),
    "order lost": lambda w: w.client.hdel(key(SYMBOL, "orders"), _first(w)),
    "all orders lost": lambda w: w.client.delete(key(SYMBOL, "orders")),
    "order is garbage": lambda w: w.client.hset(key(SYMBOL, "orders"), _first(w), b"\xff{"),
    "order changed": _changed_leaves,
    "order invented": _invent_order,
    "name invented": lambda w: w.client.hset(key(SYMBOL, "orders"), "x", b"{}"),
    "pending, but passed": _pending_that_was_passed,
    "account lost": lambda w: w.client.delete(_owner(w)),
    "order of another account": lambda w: w.client.sadd(account_key(SYMBOL, 98_765), _first(w)),
    "account's order invented": lambda w: w.client.sadd(_owner(w), str(order_id_of(3, 10**6))),
    "passed lost": lambda w: w.client.delete(key(SYMBOL, "passed")),
    "passed too far": lambda w: w.client.hset(key(SYMBOL, "passed"), "0", 10**9),
    "last price": lambda w: w.client.hset(key(SYMBOL, "stamp"), "last_price_ticks", "1"),
    "state": lambda w: w.client.hset(key(SYMBOL, "stamp"), "state", "HALTED"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_was_changed_under_a_right_stamp_is_found_and_mended(written: Written, how: str) -> None:
    right = written.dump()
    assert len(right[key(SYMBOL, "orders").encode()]) > 20
    assert written.look() is None
    stamps = written.hot.stamps([SYMBOL])
    TAMPERED[how](written)
    assert written.hot.stamps([SYMBOL]) == stamps
    assert written.look() is not None
    written.writer.check([written.engine])
    assert written.look() is None
    assert written.dump() == right


def test_pending_orders_are_left_where_they_are(written: Written) -> None:
    pending = [_pending(order_id_of(2, number), account_id=50) for number in range(30)]
    written.hot.add_pending(pending)
    assert written.look() is None
    assert written.client.scard(account_key(SYMBOL, 50)) == 30


def test_another_owners_newer_book_is_not_judged(written: Written) -> None:
    behind = SymbolEngine(written.engine.instrument)
    behind.restore(written.engine.state())
    written.client.hset(key(SYMBOL, "stamp"), mapping={"sequence": str(10**6), "hash": "ff"})
    written.client.delete(key(SYMBOL, "orders"))
    assert written.look() is None
    written.client.delete(key(SYMBOL, "stamp"))
    assert written.look() is None


@pytest.mark.parametrize("place", MARKETPLACES)
def test_what_batches_write_is_never_called_wrong(
    place: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Pass, "SLICE", 5)
    monkeypatch.setattr(HotCheck, "PER_LOOK", 6)
    url = urlunsplit(urlsplit(redis_url)._replace(path="/9"))
    hot, dice = HotBook(RedisSettings(url=url)), random.Random(place)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    instrument = MARKETPLACES[place]
    engine, inputs = SymbolEngine(instrument), unique_inputs(place, 5, 150)
    writer, check = HotWriter(hot, "test"), HotCheck(hot)
    writer.mend({engine.symbol: engine}, ahead_is_wrong=True)
    while inputs:
        size = dice.randint(1, 9)
        batch, inputs = inputs[:size], inputs[size:]
        if made := engine.apply(batch):
            writer.write([(engine, made)])
        for _ in range(dice.choice((1, 12))):  # sometimes to the end, mostly broken off by the next batch
            assert check.step([engine]) is None
    assert engine.book.orders
    hot.close()
