"""Two instances of each service share the work; one of each is killed while orders come in."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from schemas.instruments import load_instruments
from tapehouse.bench import exchange_under_load
from tapehouse.bench.load import Load, order_request
from tapehouse.bench.order_plan import OrderPlan
from tapehouse.bench.raw_http import ConnectionPool
from tapehouse.bench.shots import Shot, journal_lines, reason
from tapehouse.groups import read_groups
from tapehouse.public_client import PublicClient
from tests.e2e.live_exchange import LiveExchange, running, until

SCALED = ("processor", "matcher", "recorder", "ingest")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "ETHBTC", "SOLUSDT")
ACCOUNTS = 8
RATE = 40.0
BETWEEN_KILLS = 120
"""Orders answered well between one kill and the next, and after the last."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def scaled_exchange() -> Iterator[LiveExchange]:
    limits = '{"request_weight_1m":1000000,"raw_requests_5m":1000000,"orders_10s":100000}'
    scale = ",".join(f"{service}=2" for service in SCALED)
    with running("--scale", scale, TAPEHOUSE_LIMITS=limits) as exchange:
        yield exchange


def test_instances_share_the_partitions(scaled_exchange: LiveExchange) -> None:
    def shared() -> bool:
        groups = {
            group.group: group for group in read_groups(scaled_exchange.settings.kafka.bootstrap_servers)
        }
        return (
            all(
                len([m for m in groups[service].members if m.partitions]) == 2
                for service in SCALED[:3]
                if service in groups
            )
            and set(SCALED[:3]) <= groups.keys()
        )

    until(shared, "two members with partitions in each group")


def test_nothing_is_lost_when_one_of_each_is_killed_while_trading(
    scaled_exchange: LiveExchange, tmp_path: Path
) -> None:
    shots = asyncio.run(trade_and_kill(scaled_exchange))
    accepted = [shot for shot in shots if shot.accepted]
    refused = Counter(reason(shot) for shot in shots if not shot.accepted)
    assert len(accepted) > BETWEEN_KILLS * (len(SCALED) + 1), refused
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(b"".join(journal_lines(shots)))
    audited = scaled_exchange.command("audit", "--journal", str(journal))
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert f"{len(accepted)} acknowledged in the journal" in audited.stdout
    restarts = {p["name"]: p["restarts"] for p in scaled_exchange.status()["processes"]}
    assert {f"{service}-0": restarts[f"{service}-0"] for service in SCALED} == {
        f"{service}-0": 1 for service in SCALED
    }


async def trade_and_kill(exchange: LiveExchange) -> list[Shot]:
    """Send orders at a constant rate and kill instance 0 of each service, one after the other."""
    settings = exchange.settings
    async with PublicClient(settings.api_url) as client:
        markets = await exchange_under_load.markets(client, load_instruments(), SYMBOLS)
    accounts = await exchange_under_load.open_accounts(settings, "scale", ACCOUNTS)
    plan = OrderPlan(markets, ACCOUNTS, seed=1)
    pool = ConnectionPool("127.0.0.1", settings.ports.api, most=256)
    load = Load(pool, partial(order_request, f"127.0.0.1:{settings.ports.api}"), accounts, "scale")
    await load.at_once(plan.first_orders())
    trading = asyncio.create_task(load.constant(plan.orders(), RATE, 600.0, 0.0, lambda: None))
    await kill_each(exchange, load)
    trading.cancel()
    await load.drain()
    await pool.close()
    return load.shots


async def kill_each(exchange: LiveExchange, load: Load) -> None:
    """Each kill waits until orders, fills too, went well since the one before."""
    for service in SCALED:
        await until_answered(load, BETWEEN_KILLS, service)
        os.kill(exchange.pids()[f"{service}-0"], signal.SIGKILL)
    await until_answered(load, BETWEEN_KILLS, "the end")


async def until_answered(load: Load, count: int, what: str) -> None:
    first = len(load.shots)
    async with asyncio.timeout(120):
        while True:
            well = [shot for shot in load.shots[first:] if shot.accepted]
            filled = [shot for shot in well if b'"tradeId"' in shot.body]
            if len(well) >= count and len(filled) >= count // 3:
                return
            await asyncio.sleep(0.1)
    raise AssertionError(f"orders stand still before {what}")
