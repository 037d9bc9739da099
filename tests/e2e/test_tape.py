"""The recorded tape through the public API of a whole exchange, while the demo fleet trades beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tapehouse.demo import accounts
from tapehouse.operator_client import TradingAccount
from tapehouse.public_client import PublicClient
from tests.e2e.live_exchange import LiveExchange, running
from tests.waiting import until

TAPE = Path(__file__).parents[1] / "data" / "btcusdt-trades-2021-01-08.csv"
TRADES = 2_001

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def demo_exchange() -> Iterator[LiveExchange]:
    with running("--demo") as exchange:
        yield exchange


def last_trade_id(exchange: LiveExchange, symbol: str) -> int:
    found = httpx.get(f"{exchange.api_url}/api/v3/trades", params={"symbol": symbol, "limit": 1}).json()
    return int(found[0]["id"]) if found else 0


async def balances(exchange: LiveExchange, account: TradingAccount) -> dict[str, str]:
    """Return what is free, without the zeros that say nothing."""
    async with PublicClient(exchange.api_url, account.api_key, account.secret) as client:
        found = await client.signed("GET", "/api/v3/account", omitZeroBalances="true")
        return {row["asset"]: row["free"].rstrip("0").rstrip(".") for row in found["balances"]}


def test_fleet_trades_every_symbol(demo_exchange: LiveExchange) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT", "ETHBTC", "SOLUSDT"):
        until(lambda symbol=symbol: last_trade_id(demo_exchange, symbol), f"a trade of {symbol}")


def test_named_accounts_are_funded_and_their_keys_work(demo_exchange: LiveExchange) -> None:
    path = demo_exchange.settings.accounts_file
    assert path.stat().st_mode & 0o777 == 0o600
    kept = accounts.read(path)

    for name in accounts.PEOPLE:
        assert asyncio.run(balances(demo_exchange, kept[name])) == accounts.PEOPLE_FUNDS


def test_accounts_are_the_same_when_provided_again(demo_exchange: LiveExchange) -> None:
    settings = demo_exchange.settings
    before = accounts.read(settings.accounts_file)
    wanted = dict.fromkeys(accounts.PEOPLE, accounts.PEOPLE_FUNDS)
    again = asyncio.run(accounts.provide(settings, wanted))
    assert again == {name: before[name] for name in accounts.PEOPLE}
    assert accounts.read(settings.accounts_file) == before
    assert asyncio.run(balances(demo_exchange, again["demo-alice"])) == accounts.PEOPLE_FUNDS


def test_tape_is_served_to_the_last_digit(demo_exchange: LiveExchange) -> None:
    before = last_trade_id(demo_exchange, "BTCUSDT")
    sent = demo_exchange.command("demo", "--tape", str(TAPE), timeout_s=500)
    assert sent.returncode == 0, sent.stderr + sent.stdout
    assert f"{TRADES} trades served as in the file" in sent.stdout
    assert (
        "volume 87.07159600 open 39432.48000000 high 39550.00000000 low 39430.30000000 close 39491.76000000"
        in sent.stdout
    )
    assert "candles of 16 intervals served as DuckDB computes them" in sent.stdout
    assert "audit clean" in sent.stdout
    assert last_trade_id(demo_exchange, "BTCUSDT") >= before + TRADES


def test_fleet_comes_back_after_the_tape(demo_exchange: LiveExchange) -> None:
    before = last_trade_id(demo_exchange, "BTCUSDT")
    until(lambda: last_trade_id(demo_exchange, "BTCUSDT") > before, "a trade after the tape")


def test_audit_is_clean_while_the_fleet_trades(demo_exchange: LiveExchange) -> None:
    audited = demo_exchange.command("audit")
    assert audited.returncode == 0, audited.stdout + audited.stderr
