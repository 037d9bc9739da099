"""The Faust worker on real Kafka: what is served equals what DuckDB computes, also after kills.

Killed at any time and at each of their failpoints; those of the bar writer: ledger/test_failpoints.py.
"""

from __future__ import annotations

import random
import time
from typing import Any

import duckdb
import httpx
import pytest

from market_data import truth
from market_data.intervals import INTERVALS
from schemas.events import TradeExecuted
from schemas.instruments import load_instruments
from schemas.orders import Side
from service_runtime.failpoints import Failpoint
from tapehouse.local_stack import ports
from tests.integration.market_data.conftest import Process, World
from tests.unit.market_data.builders import Market
from tests.waiting import until

pytestmark = pytest.mark.long

PAUSES_MS = [0, 1, 40, 300, 900, 1_500, 12_000, 61_000, 400_000, 1_700_000]
CANDLES = [place for place in Failpoint if place.startswith("candles.")]
MARKET_DATA = [place for place in Failpoint if place.startswith("market_data.")]


class Stack:
    """Server and worker."""

    def __init__(self, world: World) -> None:
        self.port = ports.free_ports(1)[0]
        self.server: Process = world.process(
            "market_data", TAPEHOUSE_MARKET_DATA__PORT=str(self.port)
        ).start()
        self.worker: Process = world.process(
            "market_data.candles",
            TAPEHOUSE_CANDLES__SESSION_TIMEOUT_S="1",
            TAPEHOUSE_CANDLES__DATA_DIR=str(world.folder / "candles"),
        ).start()

    def get(self, path: str, **params: Any) -> Any:
        answer = httpx.get(f"http://127.0.0.1:{self.port}/api/v3/{path}", params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def stack(world: World) -> Stack:
    return Stack(world)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def trade_for_a_while(market: Market, rng: random.Random, count: int) -> None:
    """Trades up to now, with pauses of all lengths; now and then the clock steps back a little."""
    for _ in range(count):
        market.now_ms += rng.choice(PAUSES_MS) if market.now_ms < now_ms() - 2_000_000 else 0
        market.now_ms -= rng.choice([0] * 9 + [1_200])
        market.trade(
            3_000_000 + rng.randint(-500, 500), rng.randint(1, 99), rng.choice([Side.BUY, Side.SELL])
        )


def assert_served_is_true(stack: Stack, trades: list[TradeExecuted], symbol: str) -> None:
    instrument = load_instruments()[symbol]
    connection = duckdb.connect()
    truth.load(connection, trades)
    last_id = max(trade.trade_id for trade in trades if trade.symbol == symbol)
    until(lambda: stack.get("ticker/24hr", symbol=symbol)["lastId"] == last_id)
    for interval in INTERVALS:
        until(lambda i=interval: served_is_true(stack, connection, symbol, i))  # type: ignore[misc]
    ticker = stack.get("ticker/24hr", symbol=symbol)
    expected = truth.ticker_fields(connection, instrument, ticker["openTime"])
    assert {name: ticker[name] for name in expected} == expected


def served_is_true(stack: Stack, connection: duckdb.DuckDBPyConnection, symbol: str, interval: str) -> bool:
    served = stack.get("klines", symbol=symbol, interval=interval, limit=1000)
    instrument, until_ms = load_instruments()[symbol], served[-1][0]
    return bool(served == truth.kline_rows(connection, instrument, interval, until_ms, most=1000))


def test_candles_and_tickers_equal_the_truth_through_kills(world: World, stack: Stack) -> None:
    rng = random.Random(11)
    markets = [Market(symbol, now_ms=now_ms() - 3 * 86_400_000) for symbol in ("BTCUSDT", "ETHUSDT")]
    for places in ((), CANDLES, MARKET_DATA, ()):
        for market in markets:
            world.run_market(market, lambda m: trade_for_a_while(m, rng, 300))
        process = stack.worker if places is CANDLES else stack.server
        if places:
            process.kill()
        for place in places:
            for market in markets:
                world.run_market(market, lambda m: trade_for_a_while(m, rng, 50))
            process.end_at(place)
        if places:
            process.start()
    for market in markets:
        market.now_ms = now_ms()
        world.run_market(market, lambda m: m.trade(3_000_000, 5))
        assert_served_is_true(stack, market.trades, market.symbol)
    stack.server.kill()
    stack.server.start()
    for market in markets:
        assert_served_is_true(stack, market.trades, market.symbol)


def test_the_worker_waits_for_a_broker_that_does_not_listen(world: World) -> None:
    nowhere = f"127.0.0.1:{ports.free_ports(1)[0]}"
    worker = world.process("market_data.candles", TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS=nowhere)
    worker.begin()
    until(lambda: "Kafka not reachable" in worker.log_file.read_text())
    assert worker.stop() == 0, worker.log_file.read_text()[-4000:]
