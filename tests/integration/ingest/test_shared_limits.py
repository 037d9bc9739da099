"""Limits over several workers: real Redis, real script, workers in one process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
import redis

from ingest.edge import Edge
from ingest.http_exchange import Request
from ingest.rate_limits import RateLimits
from ingest.settings import LimitSettings
from ingest.shared_limits import SharedLimits
from schemas.events import CommandMatched, OrdersTraded
from schemas.orders import Side
from schemas.public_errors import PublicError
from service_runtime.settings import RedisSettings
from tests.unit.ingest.test_edge import ask

pytestmark = pytest.mark.long
S = 1_000_000_000
MINUTE = 1_700_000_040 * S
ALICE = 1001


@dataclass
class Clock:
    now_ns: int = MINUTE


@dataclass
class Worker:
    limits: RateLimits
    shared: SharedLimits
    clock: Clock
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def spend(self, address: str, weight: int) -> int:
        """As the edge does."""
        await self.shared.ensure(address, weight, self.clock.now_ns)
        return self.limits.spend(address, weight, self.clock.now_ns)

    async def tries(self, address: str, weight: int, times: int) -> int:
        """Return how many of so many at once are let through."""

        async def once() -> bool:
            try:
                await self.spend(address, weight)
            except PublicError:
                return False
            return True

        return sum(await asyncio.gather(*(once() for _ in range(times))))


async def until(check: object) -> None:
    async with asyncio.timeout(60):
        while True:
            if check():  # type: ignore[operator]
                return
            await asyncio.sleep(0.005)


@pytest.fixture
def own_redis(redis_url: str) -> Iterator[str]:
    """A database number of this test's own, empty."""
    url = f"{redis_url.rsplit('/', 1)[0]}/13"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@asynccontextmanager
async def worker(url: str, clock: Clock, **limits: int) -> AsyncIterator[Worker]:
    made = RateLimits(LimitSettings(**limits))
    shared = SharedLimits(RedisSettings(url=url, retry_after_ms=50), made, 90, lambda: clock.now_ns)
    task = asyncio.create_task(shared.run())
    try:
        yield Worker(made, shared, clock)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def two_workers(url: str, **limits: int) -> AsyncIterator[tuple[Worker, Worker]]:
    clock = Clock()
    async with AsyncExitStack() as stack:
        pair = [await stack.enter_async_context(worker(url, clock, **limits)) for _ in range(2)]
        await until(lambda: all(one.limits.shared for one in pair))
        yield pair[0], pair[1]


async def test_the_sum_over_workers_is_the_limit(own_redis: str) -> None:
    async with two_workers(own_redis, request_weight_1m=1000, ban_after_refusals=10**6) as (first, second):
        passed = await asyncio.gather(first.tries("a", 1, 700), second.tries("a", 1, 700))
        assert 990 <= sum(passed) <= 1000  # never more; a worker may hold a last block unused
        assert min(passed) > 0
        assert max(one.limits.used_weight("a", MINUTE) for one in (first, second)) == 1000
        assert await second.tries("b", 7, 1) == 1
        first.clock.now_ns += 60 * S
        assert await first.tries("a", 1000, 1) == 1
        assert await second.tries("a", 1, 1) == 0


async def test_requests_of_a_busy_address_share_a_call(own_redis: str) -> None:
    async with two_workers(own_redis, request_weight_1m=100_000, raw_requests_5m=1_000_000) as (first, _):
        before = first.shared.calls
        for _ in range(50):
            assert await first.tries("a", 1, 100) == 100
            first.clock.now_ns += S // 100
        assert first.shared.calls - before < 100  # for 5,000 requests
        assert first.limits.used_weight("a", first.clock.now_ns) == 5000


async def test_a_request_that_waits_past_its_window_is_counted_in_the_next(own_redis: str) -> None:
    async with two_workers(own_redis, request_weight_1m=100) as (first, second):
        early = first.clock.now_ns
        waiting = asyncio.create_task(first.shared.ensure("a", 50, early))
        await asyncio.sleep(0)
        first.clock.now_ns += 60 * S
        await waiting
        assert first.limits.spend("a", 50, early) == 50
        assert await second.tries("a", 51, 1) == 0


async def test_who_does_not_wait_for_a_lease_has_a_little_credit(own_redis: str) -> None:
    async with two_workers(own_redis, request_weight_1m=100, ban_after_refusals=10**6) as (first, second):
        for _ in range(2):
            first.limits.spend("a", 1, MINUTE)
        with pytest.raises(PublicError):
            first.limits.spend("a", 1, MINUTE)
        await first.spend("a", 1)
        more = await second.tries("a", 1, 200) + await first.tries("a", 1, 5)
        assert 95 <= more <= 97


async def test_requests_of_unknown_paths_wait_for_their_lease_too(own_redis: str) -> None:
    async with two_workers(own_redis, request_weight_1m=100, ban_after_refusals=10**6) as (first, _):
        app = Edge(first.limits, lambda: first.clock.now_ns, first.shared)
        assert [(await ask(app, "GET", "/nothing"))[0] for _ in range(101)] == [404] * 100 + [429]


async def test_a_ban_is_known_to_all_and_grows(own_redis: str) -> None:
    limits = {"request_weight_1m": 2, "ban_after_refusals": 3}
    async with two_workers(own_redis, **limits) as (first, second):
        now = MINUTE

        def status(one: Worker) -> int:
            with pytest.raises(PublicError) as refused:
                one.limits.spend("a", 5, one.clock.now_ns)
            return refused.value.status

        for seconds in (90, 180):
            assert await first.tries("a", 2, 1) == 1
            assert [status(first) for _ in range(5)] == [429, 429, 429, 418, 418]
            end_ms = now // 1_000_000 + seconds * 1000
            with redis.Redis.from_url(own_redis) as client:
                await until(lambda end=end_ms, client=client: client.get("limits:ban:a") == b"%d" % end)  # type: ignore[misc]
            await second.tries("a", 5, 1)
            assert status(second) == 418
            now += (seconds + 60) * S
            first.clock.now_ns = now
            with redis.Redis.from_url(own_redis) as client:
                client.delete("limits:ban:a")  # as its expiry would: the clock here is the test's


async def test_orders_of_an_account_are_counted_by_all(own_redis: str) -> None:
    async with two_workers(own_redis, orders_10s=10) as (first, second):
        for _ in range(4):
            first.limits.order_accepted(ALICE, False, MINUTE)
            second.limits.order_accepted(ALICE, False, MINUTE)

        def seen(one: Worker) -> list[int]:
            return [row["count"] for row in one.limits.order_counts(ALICE, one.clock.now_ns)]

        def asked() -> bool:
            for one in (first, second):
                one.limits.check_orders(ALICE, MINUTE)
                first.clock.now_ns += 1  # what was heard grows old
                one.limits.orders.ask(ALICE, MINUTE + S)
                one.limits.stir()
            return seen(first) == seen(second) == [8, 8]

        await until(asked)
        record = matched(traded(1), traded(2))
        for one in (first, second):  # the same order's later fills, at whichever worker, give nothing
            one.limits.matched(record)
        await until(lambda: seen(first) == seen(second) == [3, 3] or (asked() and False))


async def test_a_maker_that_was_told_of_some_minutes_ago_gives_nothing(own_redis: str) -> None:
    async with two_workers(own_redis, orders_10s=10) as (first, _):
        with redis.Redis.from_url(own_redis) as client:
            client.sadd(f"limits:makers:{int(client.time()[0]) // 600 - 1}", "BTCUSDT:7")
        first.limits.order_accepted(ALICE, False, MINUTE, orders=7)
        first.limits.matched(matched(traded(1), traded(2, maker_order_id=8)))
        await first.shared.compare_orders(ALICE)
        await first.shared.compare_orders(ALICE)
        assert [row["count"] for row in first.limits.order_counts(ALICE, MINUTE)] == [2, 2]


async def test_who_asks_for_its_counts_gets_those_of_all_workers(own_redis: str) -> None:
    """Near the limit a worker tells at once, and asks before it decides."""
    async with two_workers(own_redis, orders_10s=8) as (first, second):
        first.limits.order_accepted(ALICE, False, MINUTE, orders=7)
        await first.shared.compare_orders(ALICE)
        assert [row["count"] for row in second.limits.order_counts(ALICE, MINUTE)] == [0, 0]
        await second.shared.compare_orders(ALICE)
        assert [row["count"] for row in second.limits.order_counts(ALICE, MINUTE)] == [7, 7]
        second.limits.order_accepted(ALICE, False, MINUTE)
        await second.shared.compare_orders(ALICE)
        first.limits.check_orders(ALICE, MINUTE)
        await first.shared.compare_orders(ALICE)
        with pytest.raises(PublicError) as refused:
            first.limits.check_orders(ALICE, MINUTE)
        assert refused.value.code == -1015


async def test_the_weight_of_a_key_is_shared(own_redis: str) -> None:
    async with two_workers(own_redis, key_weight_1m=100, ban_after_refusals=10**6) as (first, second):

        def used(one: Worker, weight: int) -> bool:
            request = Request("GET", "/", b"", b"", "a", b"", MINUTE, weight=weight)
            try:
                one.limits.spend_key("key", request)
            except PublicError:
                return False
            return True

        def settled(one: Worker) -> bool:
            had = one.limits.keys.of("key", MINUTE)
            return had.granted >= had.used

        for _ in range(4):
            assert used(first, 20)
            await until(lambda: settled(first))
        assert used(second, 1)
        await until(lambda: settled(second))
        assert not used(second, 25)
        assert used(second, 10)


def matched(*events: OrdersTraded) -> CommandMatched:
    return CommandMatched(
        event_id="e", correlation_id="c", causation_id="c", occurred_at_ns=1, symbol="BTCUSDT",
        sequence=1, previous_hash="0", input_partition=0, input_offset=0, source_partition=0,
        source_offset=0, account_id=5, last_update_id=1, last_trade_id=2, events=events,
    )  # fmt: skip


def traded(trade_id: int, maker_order_id: int = 7) -> OrdersTraded:
    return OrdersTraded(
        trade_id=trade_id, price_ticks=1, quantity_lots=1, base_minor=1, quote_minor=1, taker_side=Side.BUY,
        taker_order_id=9, taker_account_id=5, taker_fee_minor=0,
        maker_order_id=maker_order_id, maker_account_id=ALICE,
        maker_client_order_id="m", maker_fee_minor=0, maker_leaves_lots=2 - trade_id, buyer_lock_minor=1,
    )  # fmt: skip


async def test_without_redis_each_worker_keeps_the_limit_alone(own_redis: str) -> None:
    clock = Clock()
    async with worker("redis://127.0.0.1:9/0", clock, request_weight_1m=5) as alone:
        await until(lambda: alone.shared.calls > 0)
        assert await alone.tries("a", 1, 9) == 5
        assert not alone.limits.shared


async def test_what_was_used_alone_counts_when_redis_is_back(own_redis: str) -> None:
    name = secrets.token_hex(4)
    async with two_workers(own_redis, request_weight_1m=10) as (first, second):
        first.limits.shared = False  # as while Redis is away
        assert await first.tries(name, 1, 6) == 6
        first.limits.shared = True
        assert await first.tries(name, 1, 1) == 1
        assert await second.tries(name, 1, 9) == 3
