"""Balances are told once they are settled, together, and never forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from ingest.read_pool import ReadsAway
from ingest.user_data.balance_desk import BalanceDesk
from ingest.user_data.feed_reads import Balances, Place, Settled
from tests.builders import ALICE, BOB, NOW_NS, funds_deposited
from tests.unit.ingest.user_data.market import BUY, INSTRUMENTS, Market

DEADLINE_S = 10.0
NOW_MS = NOW_NS // 1_000_000


class Reads:
    """Postgres with wallets that never change and a place that does."""

    def __init__(self) -> None:
        self.settled: Settled = {}
        self.read_to: dict[int, int] = {}
        self.applied: set[Place] = set()
        self.away = False
        self.looks = 0

    async def balances(self, accounts: list[int], deposits: list[Place]) -> Balances:
        self.looks += 1
        if self.away:
            raise ReadsAway("away")
        wallets = {(a, "USDT"): (100_0000_0000, 5_0000_0000) for a in accounts}
        return Balances(dict(self.settled), wallets, dict(self.read_to), set(self.applied))


class World:
    def __init__(self) -> None:
        self.reads = Reads()
        self.told: list[tuple[int, dict[str, Any]]] = []
        self.desk = BalanceDesk(
            INSTRUMENTS, self.reads, lambda a, e: self.told.append((a, e)), lambda: NOW_NS
        )
        self.market = Market()

    async def looked(self, times: int = 3) -> None:
        """Wait until it has looked so many times more."""
        wanted = self.reads.looks + times
        await self.until(lambda: self.reads.looks >= wanted)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.002)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    running = asyncio.create_task(made.desk.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_position_waits_until_its_change_is_settled(world: World) -> None:
    world.market.enter(ALICE, 1, BUY, 10, 3_000_000)
    world.desk.matched(ALICE, world.market.records[-1])
    await world.looked()
    assert world.told == []
    world.reads.settled = {"BTCUSDT": (1, 0)}
    await world.until(lambda: world.told)
    assert world.told == [
        (
            ALICE,
            {
                "e": "outboundAccountPosition",
                "E": NOW_MS,
                "u": NOW_MS,
                "B": [
                    {"a": "BTC", "f": "0.00000000", "l": "0.00000000"},
                    {"a": "USDT", "f": "100.00000000", "l": "5.00000000"},
                ],
            },
        )
    ]


async def test_changes_settled_together_are_told_in_one_and_another_account_does_not_wait(
    world: World,
) -> None:
    for order_id in (1, 2, 3):
        world.market.enter(ALICE, order_id, BUY, 10, 3_000_000)
        world.desk.matched(ALICE, world.market.records[-1])
        if order_id == 1:
            world.desk.matched(BOB, world.market.records[-1])
    world.reads.settled = {"BTCUSDT": (1, 0)}
    await world.until(lambda: world.told)
    await world.looked()
    assert [account for account, _ in world.told] == [BOB]
    world.reads.settled = {"BTCUSDT": (3, 0)}
    await world.until(lambda: len(world.told) == 2)
    assert (world.told[1][0], world.told[1][1]["u"]) == (ALICE, NOW_MS + 2)


async def test_while_postgres_is_away_nothing_is_told_and_nothing_forgotten(world: World) -> None:
    world.reads.away = True
    world.market.enter(ALICE, 1, BUY, 10, 3_000_000)
    world.desk.matched(ALICE, world.market.records[-1])
    await world.looked(2)
    assert world.told == []
    world.reads.away, world.reads.settled = False, {"BTCUSDT": (1, 0)}
    await world.until(lambda: world.told)


async def test_a_deposit_is_told_if_it_moved_money(world: World) -> None:
    world.desk.deposited(funds_deposited(amount_minor=250_000_000), 2, 5)
    world.desk.deposited(funds_deposited(amount_minor=250_000_000), 2, 6)
    world.reads.read_to, world.reads.applied = {2: 5}, {(2, 5)}
    await world.looked()
    assert world.told == []
    world.reads.read_to = {2: 7}
    await world.until(lambda: world.told)
    await asyncio.sleep(0)
    (update,) = [event for _, event in world.told]
    assert update == {"e": "balanceUpdate", "E": NOW_MS, "a": "USDT", "d": "2.50000000", "T": NOW_MS}


async def test_a_forgotten_account_is_told_nothing(world: World) -> None:
    world.market.enter(ALICE, 1, BUY, 10, 3_000_000)
    world.desk.matched(ALICE, world.market.records[-1])
    world.desk.deposited(funds_deposited(), 0, 0)
    world.desk.forget(ALICE)
    world.desk.matched(BOB, world.market.records[-1])
    world.reads.settled, world.reads.read_to, world.reads.applied = {"BTCUSDT": (9, 9)}, {0: 9}, {(0, 0)}
    await world.until(lambda: world.told)
    assert [account for account, _ in world.told] == [BOB]
