"""Orders at a constant rate through the public API while one process after another is killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from schemas.instruments import load_instruments
from tapehouse.bench import exchange_under_load
from tapehouse.bench.load import Load, order_request
from tapehouse.bench.order_plan import OrderPlan
from tapehouse.bench.raw_http import ConnectionPool
from tapehouse.bench.shots import Shot, journal_lines, reason
from tapehouse.operator_client import TradingAccount
from tapehouse.public_client import PublicClient
from tests.e2e.live_exchange import LiveExchange

SYMBOLS = ("BTCUSDT", "ETHUSDT", "ETHBTC", "SOLUSDT")
ACCOUNTS = 8
RATE = 40.0
MOST_S = 600.0
PATIENCE_S = 120


def kill_while_trading(
    exchange: LiveExchange, services: Sequence[str], between: int, journal: Path, run: str
) -> None:
    """Kill instance 0 of each service once; between kills so many orders are answered well, fills too.

    Then what the clients were told is audited, and each killed process must have been started again once.
    No order is left open.
    """
    before = restarts(exchange)
    accounts = asyncio.run(exchange_under_load.open_accounts(exchange.settings, run, ACCOUNTS))
    shots = asyncio.run(_trade_and_kill(exchange, services, between, run, accounts))
    accepted = [shot for shot in shots if shot.accepted]
    refused = Counter(reason(shot) for shot in shots if not shot.accepted)
    assert len(accepted) > between * (len(services) + 1), refused
    journal.write_bytes(b"".join(journal_lines(shots)))
    audited = exchange.command("audit", "--journal", str(journal))
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert f"{len(accepted)} acknowledged in the journal" in audited.stdout
    asyncio.run(_cancel_all(exchange, accounts))
    after = restarts(exchange)
    for service in services:
        assert after[f"{service}-0"] == before[f"{service}-0"] + 1, service


def restarts(exchange: LiveExchange) -> dict[str, int]:
    return {process["name"]: process["restarts"] for process in exchange.status()["processes"]}


async def _trade_and_kill(
    exchange: LiveExchange,
    services: Sequence[str],
    between: int,
    run: str,
    accounts: Sequence[TradingAccount],
) -> list[Shot]:
    settings = exchange.settings
    async with PublicClient(settings.api_url) as client:
        markets = await exchange_under_load.markets(client, load_instruments(), SYMBOLS)
    plan = OrderPlan(markets, ACCOUNTS, seed=1)
    pool = ConnectionPool("127.0.0.1", settings.ports.api, most=256)
    load = Load(pool, partial(order_request, f"127.0.0.1:{settings.ports.api}"), accounts, run)
    await load.at_once(plan.first_orders())
    trading = asyncio.create_task(load.constant(plan.orders(), RATE, MOST_S, 0.0, lambda: None))
    for service in services:
        await _until_answered(load, between)
        os.kill(exchange.pids()[f"{service}-0"], signal.SIGKILL)
    await _until_answered(load, between)
    trading.cancel()
    await load.drain()
    await pool.close()
    return load.shots


async def _cancel_all(exchange: LiveExchange, accounts: Sequence[TradingAccount]) -> None:
    for account in accounts:
        async with PublicClient(exchange.api_url, account.api_key, account.secret) as client:
            for symbol in {order["symbol"] for order in await client.signed("GET", "/api/v3/openOrders")}:
                await client.signed("DELETE", "/api/v3/openOrders", symbol=symbol)
            assert await client.signed("GET", "/api/v3/openOrders") == []


async def _until_answered(load: Load, count: int) -> None:
    first = len(load.shots)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            well = [shot for shot in load.shots[first:] if shot.accepted]
            filled = [shot for shot in well if b'"tradeId"' in shot.body]
            if len(well) >= count and len(filled) >= count // 3:
                return
            await asyncio.sleep(0.1)
