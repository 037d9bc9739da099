"""The recipes of docs/clients.md, run straight from the document against a running exchange."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.ingest.exchange import Exchange

pytestmark = pytest.mark.long
DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "clients.md").read_text()
RECIPES = dict(re.findall(r"^## ([\w.-]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```", DOCUMENT, re.M | re.S))
SAID = {
    "ccxt": ["open 20.0", "canceled"],
    "ccxt.pro": ["True True", "canceled"],
    "python-binance": ["NEW 20.00000000", "CANCELED"],
}


@pytest.mark.parametrize("name", SAID)
def test_the_recipe_trades_as_it_stands(exchange: Exchange, name: str) -> None:
    trader = exchange.trader(USDT="1000")
    told = {"TAPEHOUSE_URL": trader.base, "API_KEY": trader.api_key, "API_SECRET": trader.secret}
    done = subprocess.run(
        [sys.executable, "-c", RECIPES[name]],
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == SAID[name]
    assert trader.balances()["USDT"] == ("1000.00000000", "0.00000000")
    assert trader.call("GET", "openOrders").json() == []
