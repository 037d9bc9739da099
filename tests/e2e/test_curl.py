"""The README's walk-through with nothing but a shell: curl and openssl place two orders and see the trade."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

from tapehouse.operator_client import TradingAccount
from tests.e2e.conftest import RunningExchange

SIGNED = """
set -eu
query="$2&timestamp=$(date +%s000)"
signature=$(printf '%s' "$query" | openssl dgst -sha256 -hmac "$SECRET" | sed 's/^.* //')
curl -sS --noproxy '*' -X "$1" -H "X-MBX-APIKEY: $KEY" "$BASE/api/v3/$3?$query&signature=$signature"
"""


def curl(exchange: RunningExchange, account: TradingAccount, method: str, query: str, path: str) -> object:
    env = {**os.environ, "KEY": account.api_key, "SECRET": account.secret, "BASE": exchange.live.api_url}
    done = subprocess.run(
        ["bash", "-c", SIGNED, "signed", method, query, path],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def test_two_orders_with_curl_make_a_trade(running_exchange: RunningExchange) -> None:
    missing = [tool for tool in ("curl", "openssl") if shutil.which(tool) is None]
    assert not missing, f"this test needs {missing}"
    buyer, seller = running_exchange.account(USDT="1000"), running_exchange.account(ETH="1")
    order = "symbol=ETHUSDT&type=LIMIT&timeInForce=GTC&quantity=0.1&price=2000"
    resting = curl(running_exchange, buyer, "POST", f"{order}&side=BUY", "order")
    assert isinstance(resting, dict)
    assert resting["status"] == "NEW"
    taken = curl(running_exchange, seller, "POST", f"{order}&side=SELL", "order")
    assert isinstance(taken, dict)
    assert (taken["status"], taken["fills"][0]["price"]) == ("FILLED", "2000.00000000")
    account = curl(running_exchange, buyer, "GET", "omitZeroBalances=true", "account")
    assert isinstance(account, dict)
    assert account["balances"] == [
        {"asset": "ETH", "free": "0.09990000", "locked": "0.00000000"},
        {"asset": "USDT", "free": "800.00000000", "locked": "0.00000000"},
    ]
    refused = curl(running_exchange, buyer, "POST", f"{order}&side=HOLD", "order")
    assert refused == {"code": -1117, "msg": "Invalid side."}


def test_the_operators_command_shows_and_refuses_plainly(running_exchange: RunningExchange) -> None:
    account = running_exchange.account(BTC="1.5")
    shown = running_exchange.live.command("account", "show", account.name)
    assert shown.returncode == 0
    assert "1.50000000" in shown.stdout
    assert account.api_key in shown.stdout
    assert account.secret not in shown.stdout
    listed = running_exchange.live.command("account", "list")
    assert str(account.account_id) in listed.stdout
    for exit_code, *words in (
        (1, "show", "999999"),
        (1, "show", "nobody"),
        (1, "create", account.name),
        (2, "deposit", account.name, "XXX", "1"),
        (2, "deposit", account.name, "BTC", "1e3"),
    ):
        refused = running_exchange.live.command("account", *words)
        assert (refused.returncode, refused.stdout) == (exit_code, ""), refused.stderr
        assert "Traceback" not in refused.stderr
        assert refused.stderr.startswith("tapehouse: ")
    revoked = running_exchange.live.command(
        "account", "api-key", str(account.account_id), "--revoke", account.api_key
    )
    assert "is revoked" in revoked.stdout


def test_scripts_read_one_object(running_exchange: RunningExchange) -> None:
    live = running_exchange.live
    account = running_exchange.account(BTC="1.5")
    shown = live.answer("account", "show", str(account.account_id))
    assert (shown["name"], shown["balances"]) == (
        account.name,
        [{"asset": "BTC", "available": "1.50000000", "locked": "0.00000000"}],
    )
    reads = live.answer("account", "api-key", account.name, "--permissions", "read")
    assert (reads["account_id"], reads["permissions"]) == (account.account_id, ["read"])
    only_reads = TradingAccount(account.name, account.account_id, reads["api_key"], reads["secret_key"])
    order = "symbol=ETHUSDT&type=MARKET&quantity=0.1&side=BUY"
    refused = curl(running_exchange, only_reads, "POST", order, "order")
    assert refused == {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
    assert live.answer("account", "list")["accounts"][-1]["account_id"] == account.account_id
    status = live.answer("status")
    assert status["url"] == live.api_url
    assert {process["health"] for process in status["processes"]} == {"ready"}
    assert live.answer("audit")["difference"] is None
