"""The hot book's scripts on a real server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import redis

from schemas.hot_book import OpenOrder, key
from schemas.orders import MarketState, OrderType, Side, TimeInForce
from service_runtime.book_change import BookChange
from service_runtime.hot_book import HotBook, HotBookAway, Pending, Stamp, Touch
from service_runtime.hot_book_reads import AsyncHotBook
from service_runtime.settings import RedisSettings


@pytest.fixture
def symbol() -> str:
    return f"S{secrets.token_hex(4)}"


@pytest.fixture
def book(redis_url: str) -> Iterator[HotBook]:
    hot_book = HotBook(RedisSettings(url=redis_url))
    yield hot_book
    hot_book.close()


def order(order_id: int, account_id: int = 7, pending: bool = False, leaves: int = 5) -> OpenOrder:
    return OpenOrder(
        order_id=order_id,
        account_id=account_id,
        client_order_id=f"c{order_id}",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=100,
        quantity_lots=5,
        leaves_lots=leaves,
        executed_quote_minor=0,
        entered_at_ns=1,
        updated_at_ns=1,
        pending=pending,
    )


def change(symbol: str, sequence: int, first: int | None = None, **fields: object) -> BookChange:
    made = BookChange(
        symbol=symbol,
        first_sequence=first if first is not None else sequence,
        sequence=sequence,
        record_hash=f"h{sequence}",
        partition=0,
        offset=sequence,
        update_id=sequence * 10,
        trade_id=0,
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def start(book: HotBook, symbol: str) -> None:
    assert book.apply([change(symbol, 0, building="all", begins=True, ends=True)]) == {}


async def opened(redis_url: str, symbol: str, account_id: int = 7) -> list[OpenOrder]:
    reader = AsyncHotBook(RedisSettings(url=redis_url))
    try:
        return (await reader.open_orders(account_id, [symbol]))[symbol]
    finally:
        await reader.close()


async def test_orders_levels_and_stamp_are_written_in_one_go(
    book: HotBook, symbol: str, redis_url: str
) -> None:
    start(book, symbol)
    written = change(
        symbol,
        2,
        first=1,
        set_orders={1: order(1), 2: order(2)},
        levels={(Side.BUY, 100): 10, (Side.SELL, 103): 4},
        seen={7: (2, 0)},
        last_price_ticks=101,
        passed={2: 0},  # the request that order 3 would have been
    )
    assert book.apply([written]) == {}
    assert await opened(redis_url, symbol) == [order(1), order(2)]
    assert book.ask_touch({symbol: True})() == {symbol: Touch(100, 103, 101)}
    assert book.ask_touch({"NONE": True, symbol: False})() == {"NONE": None, symbol: Touch(None, None, 101)}
    assert book.open_counts([(symbol, 7), (symbol, 8)]) == {(symbol, 7): 2, (symbol, 8): 0}
    assert book.still_open([(symbol, 1), (symbol, 3)]) == {(symbol, 1): True, (symbol, 3): False}
    reader = AsyncHotBook(RedisSettings(url=redis_url))
    assert await reader.seen(7, [symbol]) == {symbol: (2, 0)}
    assert await reader.update_id(symbol) == 20
    assert await reader.order(symbol, 2) == order(2)
    assert await reader.order(symbol, 9) is None
    await reader.close()


async def test_repeated_write_changes_nothing(book: HotBook, symbol: str, redis_url: str) -> None:
    start(book, symbol)
    book.apply([change(symbol, 1, set_orders={1: order(1)})])
    book.apply([change(symbol, 2, gone_orders={1: 7})])
    assert book.apply([change(symbol, 1, set_orders={1: order(1)})]) == {}
    assert await opened(redis_url, symbol) == []
    assert book.sequences([symbol]) == {symbol: 2}


def test_missing_batch_asks_for_the_whole_book(book: HotBook, symbol: str) -> None:
    assert book.apply([change(symbol, 1)]) == {symbol: True}
    start(book, symbol)
    assert book.apply([change(symbol, 3)]) == {symbol: True}


async def test_whole_book_replaces_what_was_there(book: HotBook, symbol: str, redis_url: str) -> None:
    start(book, symbol)
    book.apply([change(symbol, 1, set_orders={1: order(1, account_id=8)}, levels={(Side.BUY, 90): 1})])
    whole = change(
        symbol,
        9,
        building="all",
        begins=True,
        ends=True,
        set_orders={2: order(2)},
        levels={(Side.BUY, 80): 2},
    )
    assert book.apply([whole]) == {}
    assert await opened(redis_url, symbol, 8) == []
    assert await opened(redis_url, symbol, 7) == [order(2)]
    assert book.ask_touch({symbol: True})() == {symbol: Touch(80, None, None)}


async def test_pending_order_shows_until_the_matcher_has_passed_it(
    book: HotBook, symbol: str, redis_url: str
) -> None:
    start(book, symbol)
    book.add_pending([Pending(symbol, 3, 40, order(1, pending=True))])
    book.settle()
    assert await opened(redis_url, symbol) == [order(1, pending=True)]
    book.apply([change(symbol, 1, gone_orders={1: 7}, passed={3: 40})])
    book.add_pending([Pending(symbol, 3, 40, order(1, pending=True))])
    book.settle()
    assert await opened(redis_url, symbol) == []


def test_pending_order_without_a_book_is_not_written(book: HotBook, symbol: str) -> None:
    book.add_pending([Pending(symbol, 3, 40, order(1, pending=True))])
    assert book.open_counts([(symbol, 7)]) == {(symbol, 7): None}
    assert book.sequences([symbol]) == {symbol: None}


def test_what_is_posted_is_done_before_what_is_asked_next(book: HotBook, symbol: str) -> None:
    start(book, symbol)
    waiting = book.ask_touch({symbol: True})
    for order_id in range(1, 200):
        book.add_pending([Pending(symbol, 3, 40, order(order_id, pending=True))])
        assert book.open_counts([(symbol, 7)]) == {(symbol, 7): order_id}
    assert waiting() == {symbol: Touch(None, None, None)}


async def test_pending_orders_survive_a_server_that_forgot_its_scripts(
    book: HotBook, symbol: str, redis_url: str
) -> None:
    start(book, symbol)
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()
    book.add_pending([Pending(symbol, 3, 40, order(1, pending=True))])
    assert book.ask_touch({symbol: True})() == {symbol: Touch(None, None, None)}
    assert await opened(redis_url, symbol) == [order(1, pending=True)]


def test_a_post_that_failed_is_told_by_what_comes_next(book: HotBook, symbol: str, redis_url: str) -> None:
    start(book, symbol)
    with redis.Redis.from_url(redis_url) as client:
        client.delete(key(symbol, "orders"))
        client.set(key(symbol, "orders"), "of somebody else")
    book.add_pending([Pending(symbol, 3, 40, order(1, pending=True))])
    with pytest.raises(HotBookAway):
        book.settle()
    book.settle()  # told once; what nobody of us wrote is gone, and with it the stamp
    assert book.stamps([symbol]) == {symbol: None}


async def test_no_book_and_no_server_are_said(redis_url: str, symbol: str, unused_tcp_port: int) -> None:
    with pytest.raises(HotBookAway):
        await opened(redis_url, symbol)
    away = HotBook(RedisSettings(url=f"redis://127.0.0.1:{unused_tcp_port}/0"))
    for _ in range(2):
        with pytest.raises(HotBookAway):
            away.ask_touch({symbol: True})()
    away.close()


def test_thousands_of_accounts_fit_one_write(book: HotBook, symbol: str) -> None:
    seen = dict.fromkeys(range(20000), (1, 1))
    assert book.apply([change(symbol, 1, building="all", begins=True, ends=True, seen=seen)]) == {}


async def test_whole_book_in_parts_counts_when_the_last_is_there(
    book: HotBook, symbol: str, redis_url: str
) -> None:
    start(book, symbol)
    first = change(symbol, 4, building="a", begins=True, set_orders={1: order(1), 2: order(2)})
    assert book.apply([first]) == {}
    assert book.stamps([symbol]) == {symbol: None}
    assert book.apply([change(symbol, 5, building="a", gone_orders={1: 7})]) == {}
    assert book.apply([change(symbol, 5, building="a", ends=True, set_orders={3: order(3)})]) == {}
    assert await opened(redis_url, symbol) == [order(2), order(3)]
    assert book.apply([change(symbol, 6)]) == {}
    assert book.sequences([symbol]) == {symbol: 6}


def test_only_one_writes_the_whole_book(book: HotBook, symbol: str) -> None:
    assert book.apply([change(symbol, 1, building="a", begins=True)]) == {}
    assert book.apply([change(symbol, 2)]) == {symbol: False}
    assert book.apply([change(symbol, 2, building="b", begins=True)]) == {symbol: False}
    assert book.apply([change(symbol, 2, building="b", begins=True, takes_over=True)]) == {}
    assert book.apply([change(symbol, 2, building="a", ends=True)]) == {symbol: False}
    assert book.apply([change(symbol, 2, building="b", ends=True)]) == {}
    assert book.sequences([symbol]) == {symbol: 2}


async def test_state_of_the_market_is_read_with_the_stamp(book: HotBook, symbol: str, redis_url: str) -> None:
    halted = change(
        symbol,
        4,
        building="all",
        begins=True,
        ends=True,
        state=MarketState.HALT,
        until_ns=99,
        last_price_ticks=101,
    )
    book.apply([halted])
    assert book.look([symbol, "OTHER"]) == {
        symbol: Stamp(0, 4, 4, "h4", MarketState.HALT, 99, 101),
        "OTHER": None,
    }
    reader = AsyncHotBook(RedisSettings(url=redis_url))
    assert await reader.market_states([symbol, "OTHER"]) == {symbol: MarketState.HALT, "OTHER": None}
    await reader.close()


@pytest.mark.parametrize("part", ["stamp", "orders", "bids"])
def test_part_of_another_type_is_removed_and_the_whole_book_asked_for(
    book: HotBook, symbol: str, redis_url: str, part: str
) -> None:
    start(book, symbol)
    with redis.Redis.from_url(redis_url) as other:
        other.set(key(symbol, part), "no such thing")
    touched = change(symbol, 1, levels={(Side.BUY, 100): 5}, set_orders={1: order(1)})
    with pytest.raises(HotBookAway, match="WRONGTYPE"):
        book.apply([touched])
    assert book.apply([change(symbol, 2)]) == {symbol: True}


def test_snapshots_are_kept_as_written(book: HotBook, symbol: str) -> None:
    assert book.snapshot(symbol, "0") is None
    book.put_snapshot(symbol, "0", b"\x00bytes")
    book.put_snapshot(symbol, "0/1", b"part")
    assert [book.snapshot(symbol, name) for name in ("0", "0/1", "1")] == [b"\x00bytes", b"part", None]
