"""The main job on one running exchange: recorded trades through the public API, and kills under orders."""

from __future__ import annotations

import csv
from collections import defaultdict
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.e2e.conftest import RunningExchange
from tests.e2e.kills import kill_while_trading

TAPE = Path(__file__).parents[1] / "data" / "btcusdt-trades-2021-01-08.csv"
FIRST = 500
FEE = Decimal("0.001")
MINOR = Decimal("1e-8")

Wallets = dict[tuple[str, str], Decimal]
"""(account, asset) -> available."""


def test_recorded_trades_come_out_as_they_went_in(running_exchange: RunningExchange) -> None:
    """The file is read, and every figure computed, by this test itself."""
    live = running_exchange.live
    with TAPE.open(newline="") as file:
        tape = list(csv.DictReader(file))[:FIRST]
    before = served(live.api_url, "trades", limit=1)
    after = before[-1]["id"] if before else 0
    sent = live.command("demo", "--tape", str(TAPE), "--first", str(FIRST))
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert "candles of 16 intervals served as DuckDB computes them" in sent.stdout

    trades = served(live.api_url, "historicalTrades", fromId=after + 1, limit=FIRST)
    assert [trade["id"] for trade in trades] == list(range(after + 1, after + 1 + FIRST))
    assert [shape(t["price"], t["qty"], t["isBuyerMaker"]) for t in trades] == [
        shape(row["price"], row["quantity"], row["buyer_is_maker"] == "true") for row in tape
    ]
    prices = [Decimal(row["price"]) for row in tape]
    volume = sum(Decimal(row["quantity"]) for row in tape)
    assert sum(Decimal(trade["qty"]) for trade in trades) == volume
    told = f"volume {volume:.8f} open {prices[0]:.8f} high {max(prices):.8f} low {min(prices):.8f} "
    assert told + f"close {prices[-1]:.8f}" in sent.stdout

    funded, now = wallets(live.settings.postgres.dsn)
    assert len({account for account, _ in now}) == 4
    assert now == after_trading(tape, funded)
    assert live.answer("audit")["difference"] is None


def test_killed_services_lose_and_double_nothing(running_exchange: RunningExchange, tmp_path: Path) -> None:
    services = ("matcher", "processor", "recorder")
    kill_while_trading(running_exchange.live, services, 60, tmp_path / "journal.jsonl", "journey")


def served(url: str, path: str, **query: int) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/api/v3/{path}", params={"symbol": "BTCUSDT", **query}, timeout=60)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def shape(price: str, quantity: str, buyer_is_maker: bool) -> tuple[Decimal, Decimal, bool]:
    return Decimal(price), Decimal(quantity), buyer_is_maker


def wallets(dsn: str) -> tuple[Wallets, Wallets]:
    """What was deposited to the newest tape's accounts, and what they hold; nothing may be locked."""
    with psycopg.connect(dsn) as connection:
        owners = connection.execute(
            "SELECT account_id, name FROM accounts WHERE name LIKE 'tape-%' ORDER BY account_id DESC LIMIT 4"
        ).fetchall()
        names = dict(owners)
        of_owners = "WHERE account_id = ANY(%s)"
        deposited = connection.execute(
            f"SELECT account_id, asset, amount_minor FROM deposits {of_owners}", [list(names)]
        ).fetchall()
        held = connection.execute(
            f"SELECT account_id, asset, available, locked FROM wallets {of_owners}", [list(names)]
        ).fetchall()
    assert {locked for *_, locked in held} == {0}
    return (
        {(names[owner], asset): amount * MINOR for owner, asset, amount in deposited},
        {(names[owner], asset): available * MINOR for owner, asset, available, _ in held},
    )


def after_trading(tape: list[dict[str, str]], funded: Wallets) -> Wallets:
    """What the wallets must hold: accounts 1 and 3 rest in turn, 2 and 4 cross; fees are rounded up."""
    names = sorted({name for name, _ in funded})
    expected = defaultdict(Decimal, funded)
    for number, row in enumerate(tape):
        maker, taker = names[number % 2 * 2], names[number % 2 * 2 + 1]
        buyer, seller = (maker, taker) if row["buyer_is_maker"] == "true" else (taker, maker)
        quantity = Decimal(row["quantity"])
        quote = quantity * Decimal(row["price"])
        expected[buyer, "USDT"] -= quote
        expected[buyer, "BTC"] += quantity - (quantity * FEE).quantize(MINOR, ROUND_CEILING)
        expected[seller, "BTC"] -= quantity
        expected[seller, "USDT"] += quote - (quote * FEE).quantize(MINOR, ROUND_CEILING)
    return dict(expected)
