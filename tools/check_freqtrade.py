"""Let an unmodified freqtrade buy and sell once on a running exchange, configured as docs/clients.md says.

    python -m tools.check_freqtrade [--freqtrade PATH]

The exchange is the one that the settings name (`tapehouse up`). Without `--freqtrade` it is installed into an
environment of its own, in a temporary folder: its pins do not fit beside ours. Accounts are opened for the
bot and for a market that it can trade with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any, Final

import ccxt

from tapehouse.account import AdminClient, AdminSettings

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "clients.md"
PAIR: Final = "BTC/USDT"
DEADLINE_S: Final = 240.0
STRATEGY: Final = """
from freqtrade.strategy import IStrategy


class InAndOut(IStrategy):
    timeframe = "1m"
    minimal_roi = {"0": -1}
    stoploss = -0.9
    process_only_new_candles = False
    startup_candle_count = 1
    order_types = {"entry": "limit", "exit": "market", "stoploss": "market", "stoploss_on_exchange": False}

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe
"""
BOT: Final = {
    "max_open_trades": 1,
    "stake_currency": "USDT",
    "stake_amount": 100,
    "dry_run": False,
    "timeframe": "1m",
    "entry_pricing": {"price_side": "other", "use_order_book": True, "order_book_top": 1},
    "exit_pricing": {"price_side": "other", "use_order_book": True, "order_book_top": 1},
    "pairlists": [{"method": "StaticPairList"}],
    "internals": {"process_throttle_secs": 1},
    "bot_name": "check",
    "initial_state": "running",
}


def recipe(url: str, key: dict[str, Any]) -> Any:
    """Return the configuration block of the document, its placeholders filled."""
    text = DOCUMENT.read_text().split("## freqtrade", 1)[1].split("```json", 1)[1].split("```", 1)[0]
    for name, value in (
        ("TAPEHOUSE_URL", url),
        ("TAPEHOUSE_WS", url.replace("http", "ws", 1)),
        ("API_KEY", key["api_key"]),
        ("API_SECRET", key["secret"]),
    ):
        text = text.replace(name, value)
    return json.loads(text)


def account(admin: AdminClient, **funds: str) -> dict[str, Any]:
    account_id = admin.ask("POST", "accounts", {"name": "freqtrade"})["account_id"]
    for asset, amount in funds.items():
        admin.ask("POST", f"accounts/{account_id}/deposits", {"asset": asset, "amount": amount})
    made: dict[str, Any] = admin.ask("POST", f"accounts/{account_id}/api-keys", {"label": "freqtrade"})
    return made


def client(url: str, key: dict[str, Any]) -> Any:
    told = recipe(url, key)
    return ccxt.binance({"apiKey": key["api_key"], "secret": key["secret"], **told["ccxt_config"]})


def install(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    subprocess.run([folder / "bin" / "pip", "install", "-q", "freqtrade"], check=True)
    return folder / "bin" / "freqtrade"


def quote(maker: Any, taker: Any) -> None:
    """Trade once, since the bot wants a candle, and leave something to trade with on both sides."""
    maker.create_order(PAIR, "limit", "sell", 1, 30010)
    taker.create_order(PAIR, "limit", "buy", 0.01, 30010)
    maker.create_order(PAIR, "limit", "buy", 1, 30000)


def until_traded(trader: Any, bot: subprocess.Popen[bytes], log: Path) -> list[Any]:
    """Return the bot's trades once it has bought and sold."""
    ends = time.monotonic() + DEADLINE_S
    while True:
        trades = trader.fetch_my_trades(PAIR)
        if {trade["side"] for trade in trades} == {"buy", "sell"}:
            return list(trades)
        if bot.poll() is not None or time.monotonic() > ends:
            raise SystemExit(f"freqtrade did not buy and sell:\n{log.read_text()[-6000:]}")
        time.sleep(1)


def stop(bot: subprocess.Popen[bytes]) -> None:
    """Ask it to end; what it holds open for longer is none of our business."""
    bot.terminate()
    try:
        bot.wait(20)
    except subprocess.TimeoutExpired:
        bot.kill()
        bot.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--freqtrade", type=Path, help="an installed one")
    options = parser.parse_args()
    known, admin = AdminSettings(), AdminClient.find()
    url = f"http://127.0.0.1:{known.ports.api}"
    maker, taker = (client(url, account(admin, USDT="1000000", BTC="50")) for _ in range(2))
    key = account(admin, USDT="1000")
    time.sleep(1)  # a new key is known to all workers within half a second
    with tempfile.TemporaryDirectory(prefix="tapehouse-freqtrade-") as name:
        folder = Path(name)
        program = options.freqtrade or install(folder / "venv")
        (folder / "strategies").mkdir()
        (folder / "strategies" / "in_and_out.py").write_text(STRATEGY)
        (folder / "config.json").write_text(json.dumps({**BOT, "exchange": recipe(url, key)}))
        quote(maker, taker)
        words = [program, "trade", "--config", "config.json", "--strategy", "InAndOut", "--userdir", folder]
        log = folder / "freqtrade.log"
        with log.open("wb") as output:
            bot = subprocess.Popen(
                [*words, "--strategy-path", "strategies"], cwd=folder, stdout=output, stderr=output
            )
        try:
            trades = until_traded(client(url, key), bot, log)
        finally:
            stop(bot)
            maker.cancel_all_orders(PAIR)
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        print(" ".join(version.split()))
        for trade in trades:
            print(trade["side"], trade["amount"], "at", trade["price"], "fee", trade["fee"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
