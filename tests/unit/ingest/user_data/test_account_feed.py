"""Following an account from a place in the log: nothing twice, nothing missed."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Any

import orjson
import pytest

from ingest.read_pool import ReadsAway
from ingest.user_data.account_feed import AccountFeed
from ingest.user_data.execution_reports import AccountOrders
from ingest.user_data.feed_reads import OpenOrders, Settled
from schemas.events import CommandMatched, OrdersTraded
from tests.builders import ALICE, BOB
from tests.unit.ingest.user_data.market import BUY, INSTRUMENTS, SELL, Market, steps

P = 3_000_000
DEADLINE_S = 10.0


class Told:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.followed: list[int] = []
        self.lost_accounts: list[int] = []

    def following(self, account_id: int) -> None:
        self.followed.append(account_id)

    def event(self, account_id: int, body: bytes) -> None:
        self.events.append(orjson.loads(body))

    def lost(self, account_id: int) -> None:
        self.lost_accounts.append(account_id)


class Reads:
    """Postgres as it stands at (sequence, trade id), computed from the same records."""

    def __init__(self, records: list[CommandMatched], sequence: int, trade_id: int) -> None:
        self.records, self.sequence, self.trade_id = records, sequence, trade_id
        self.failures = 0
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def open_orders(self, account_id: int) -> OpenOrders:
        self.asked.set()
        await self.may_answer.wait()
        if self.failures:
            self.failures -= 1
            raise ReadsAway("away")
        return OpenOrders(self.settled(), self._orders(account_id), {}, {"BTCUSDT": self._reaches()})

    def _reaches(self) -> int:
        trades = [
            (event.trade_id, record.sequence)
            for record in self.records
            for event in record.events
            if type(event) is OrdersTraded
        ]
        return max([self.sequence, *[s for trade_id, s in trades if trade_id <= self.trade_id]])

    def settled(self) -> Settled:
        return {"BTCUSDT": (self.sequence, self.trade_id)}

    def _orders(self, account_id: int) -> list[Any]:
        """Orders by the matched records, what they executed by the trades."""
        account = AccountOrders(account_id, INSTRUMENTS)
        for record in self.records[: self.sequence]:
            account.take(record)
        found = deepcopy(account.orders)
        for order in found.values():
            order.executed_lots = order.executed_quote_minor = 0
            for record in self.records:
                for event in record.events:
                    if (
                        type(event) is OrdersTraded
                        and event.trade_id <= self.trade_id
                        and order.order_id in (event.taker_order_id, event.maker_order_id)
                    ):
                        order.executed_lots += event.quantity_lots
                        order.executed_quote_minor += event.quote_minor
        return list(found.values())


@pytest.fixture
def records() -> list[CommandMatched]:
    """ALICE's order 1 rests, and meets three takers; then she cancels what is left."""
    market = Market()
    market.enter(ALICE, 1, SELL, 1000, P)
    for order_id, lots in ((2, 100), (3, 200), (4, 300)):
        market.enter(BOB, order_id, BUY, lots, P)
    market.cancel(ALICE, 1)
    return market.records


async def until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("read_at_first", range(6))
@pytest.mark.parametrize("sequence", range(6))
@pytest.mark.parametrize("trade_id", range(4))
async def test_from_any_place_on_everything_after_it_is_told_with_the_right_sums(
    records: list[CommandMatched], read_at_first: int, sequence: int, trade_id: int
) -> None:
    told, reads = Told(), Reads(records, sequence, trade_id)
    feed = AccountFeed(INSTRUMENTS, reads, told)
    for record in records[:read_at_first]:
        feed.matched(record)
    feed.follow(ALICE)
    await reads.asked.wait()
    for record in records[read_at_first:]:
        feed.matched(record)
    if sequence < read_at_first or trade_id < (
        records[read_at_first - 1].last_trade_id if read_at_first else 0
    ):
        assert told.followed == []  # Postgres is behind: it is asked again
        reads.sequence, reads.trade_id = sequence, trade_id = max(sequence, read_at_first), 3
    await until(lambda: told.followed == [ALICE])
    whole = AccountOrders(ALICE, INSTRUMENTS)
    expected = [event for record in records for event in whole.take(record) if record.sequence > sequence]
    assert told.events == orjson.loads(orjson.dumps(expected))


async def test_an_account_followed_twice_is_told_at_once(records: list[CommandMatched]) -> None:
    told = Told()
    feed = AccountFeed(INSTRUMENTS, Reads(records, 0, 0), told)
    feed.follow(ALICE)
    feed.follow(ALICE)
    await until(lambda: told.followed)
    feed.follow(ALICE)
    assert told.followed == [ALICE, ALICE]
    feed.matched(records[0])
    assert steps(told.events) == [(1, "NEW", "NEW")]


async def test_postgres_away_delays_and_loses_nothing(records: list[CommandMatched]) -> None:
    told, reads = Told(), Reads(records, 1, 0)
    reads.failures = 3
    feed = AccountFeed(INSTRUMENTS, reads, told)
    feed.matched(records[0])
    feed.follow(ALICE)
    await reads.asked.wait()
    for record in records[1:]:
        feed.matched(record)
    await until(lambda: told.followed)
    assert [step[1] for step in steps(told.events)] == ["TRADE", "TRADE", "TRADE", "CANCELED"]


async def test_a_forgotten_account_is_told_nothing(records: list[CommandMatched]) -> None:
    told, reads = Told(), Reads(records, 0, 0)
    reads.may_answer.clear()
    feed = AccountFeed(INSTRUMENTS, reads, told)
    feed.follow(ALICE)
    await reads.asked.wait()
    feed.forget(ALICE)
    reads.may_answer.set()
    for record in records:
        feed.matched(record)
    await asyncio.sleep(0)
    assert (told.followed, told.events, len(feed)) == ([], [], 0)


async def test_an_order_nobody_knew_loses_the_account_loudly(records: list[CommandMatched]) -> None:
    told = Told()
    feed = AccountFeed(INSTRUMENTS, Reads([], 0, 0), told)
    feed.follow(ALICE)
    await until(lambda: told.followed)
    feed.matched(records[1])
    assert (told.lost_accounts, len(feed)) == ([ALICE], 0)
