"""Market protection end to end: the operator halts, auctions and opens a symbol by commands in the log.

On SOLUSDT, which no other test of this exchange trades.
"""

from __future__ import annotations

import json
from typing import Any

import ccxt
import pytest

from tapehouse.market import Row, look
from tests.e2e.conftest import RunningExchange
from tests.e2e.test_ccxt import client
from tests.waiting import until

pytestmark = pytest.mark.long
PAIR, SYMBOL = "SOL/USDT", "SOLUSDT"


def market(exchange: RunningExchange, *words: str) -> Any:
    done = exchange.live.command("market", *words, "--json", timeout_s=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def shown(exchange: RunningExchange) -> Row:
    return look(exchange.live.settings, [SYMBOL])[0]


def test_auction_halt_and_time_are_commands_in_the_log(running_exchange: RunningExchange) -> None:
    seller = client(running_exchange, running_exchange.account(SOL="10"))
    buyer = client(running_exchange, running_exchange.account(USDT="1000"))
    (collecting,) = market(running_exchange, "auction", SYMBOL)
    assert (collecting["state"], collecting["cause"]) == ("AUCTION", "command")
    offers = [seller.create_order(PAIR, "limit", "sell", 2, price) for price in (100, 120)]
    bid = buyer.create_order(PAIR, "limit", "buy", 1, 110)
    assert {order["status"] for order in (*offers, bid)} == {"open"}
    with pytest.raises(ccxt.BaseError):
        buyer.create_order(PAIR, "market", "buy", 1)
    until(lambda: shown(running_exchange).lag == 0)  # though an auction is told the time every second
    assert shown(running_exchange).state == "AUCTION"

    uncrossed, opened = market(running_exchange, "open", SYMBOL)
    assert uncrossed["type"] == "AuctionUncrossed.v1"
    assert uncrossed["quantity_lots"] == 1000
    assert opened["state"] == "TRADING"
    assert until(lambda: buyer.fetch_order(bid["id"], PAIR)["status"] == "closed")

    (halted,) = market(running_exchange, "halt", SYMBOL)
    assert (halted["state"], halted.get("until_ns")) == ("HALT", None)
    with pytest.raises(ccxt.BaseError):
        buyer.create_order(PAIR, "limit", "buy", 1, 90)
    seller.cancel_order(offers[1]["id"], PAIR)
    (ending,) = market(running_exchange, "halt", SYMBOL, "--for", "1")
    assert ending["until_ns"] > 0
    assert until(lambda: shown(running_exchange).state == "TRADING")  # nobody said so but the time
    assert buyer.create_order(PAIR, "limit", "buy", 1, 90)["status"] == "open"


def test_status_shows_every_symbol(running_exchange: RunningExchange) -> None:
    done = running_exchange.live.command("status", "--json", timeout_s=60)
    symbols = json.loads(done.stdout)["symbols"]
    assert list(symbols) == ["BTCUSDT", "ETHBTC", "ETHUSDT", SYMBOL]
    for told in symbols.values():
        assert told["lag"] >= 0
        assert [len(told["last_hash"]), len(told["book_hash"]["hash"])] == [32, 32]
    assert symbols["ETHBTC"]["state"] == "TRADING"
