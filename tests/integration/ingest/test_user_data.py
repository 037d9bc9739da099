"""User data streams: two accounts trade, on two workers, and each is told all of it, with exact balances."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import websockets.exceptions
import websockets.sync.client

from tests.integration.ingest.exchange import Exchange, Trader, Worker
from tests.integration.ingest.socket_client import Socket, connected
from tests.waiting import until

pytestmark = pytest.mark.long


def trader_for_a_test(exchange: Exchange) -> Iterator[Trader]:
    trader = exchange.trader(USDT="100000", BTC="5")
    yield trader
    trader.call("DELETE", "openOrders", symbol="BTCUSDT")


@pytest.fixture
def alice(exchange: Exchange) -> Iterator[Trader]:
    yield from trader_for_a_test(exchange)


@pytest.fixture
def bob(exchange: Exchange) -> Iterator[Trader]:
    yield from trader_for_a_test(exchange)


@pytest.fixture(scope="module")
def second_worker(exchange: Exchange) -> Iterator[str]:
    worker, base = exchange.gateway(7)
    worker.start()
    yield base
    assert worker.stop() == 0


def subscribed(client: Socket) -> Socket:
    """The client, listening to its account; the worker may not know its key at once."""
    answer = until(lambda: (a := client.signed("userDataStream.subscribe.signature"))["status"] != 401 and a)
    assert client.result(answer) == {"subscriptionId": 0}
    return client


@pytest.fixture
def alices(exchange: Exchange, alice: Trader) -> Iterator[Socket]:
    with connected(exchange.base, alice) as client:
        yield subscribed(client)


@pytest.fixture
def bobs(second_worker: str, bob: Trader) -> Iterator[Socket]:
    with connected(second_worker, bob) as client:
        yield subscribed(client)


def position(client: Socket) -> dict[str, tuple[str, str]]:
    found = client.named("outboundAccountPosition")
    assert set(found) == {"e", "E", "u", "B"}
    return {row["a"]: (row["f"], row["l"]) for row in found["B"]}


def settled(client: Socket, trader: Trader, assets: tuple[str, ...] = ("BTC", "USDT")) -> dict[str, Any]:
    """Return the last position told: the one that is what REST says."""
    balances = trader.balances()
    wanted = {asset: balances[asset] for asset in assets}
    while position(client) != wanted:
        pass
    return wanted


def test_two_accounts_trade_and_both_are_told_everything(
    alices: Socket, bobs: Socket, alice: Trader, bob: Trader
) -> None:
    placed = alices.result(alices.order("BUY", "0.5", "30000", newClientOrderId="alice-1"))
    new = alices.named("executionReport")
    assert new == {
        "e": "executionReport",
        "E": placed["transactTime"],
        "s": "BTCUSDT",
        "c": "alice-1",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTC",
        "q": "0.50000000",
        "p": "30000.00000000",
        "P": "0.00000000",
        "F": "0.00000000",
        "g": -1,
        "C": "",
        "x": "NEW",
        "X": "NEW",
        "r": "NONE",
        "i": placed["orderId"],
        "l": "0.00000000",
        "z": "0.00000000",
        "L": "0.00000000",
        "n": "0",
        "N": None,
        "T": placed["transactTime"],
        "t": -1,
        "I": new["I"],
        "w": True,
        "m": False,
        "M": False,
        "O": placed["transactTime"],
        "Z": "0.00000000",
        "Y": "0.00000000",
        "Q": "0.00000000",
        "V": new["V"],
        "W": placed["transactTime"],
    }
    assert position(alices) == {
        "BTC": ("5.00000000", "0.00000000"),
        "USDT": ("85000.00000000", "15000.00000000"),
    }

    sold = bobs.result(bobs.order("SELL", "0.2", "30000", newClientOrderId="bob-1"))
    assert sold["status"] == "FILLED"
    entered, filled = bobs.named("executionReport"), bobs.named("executionReport")
    assert [(e["x"], e["X"], e["w"]) for e in (entered, filled)] == [
        ("NEW", "NEW", True),
        ("TRADE", "FILLED", False),
    ]
    assert (filled["l"], filled["z"], filled["L"], filled["Y"], filled["Z"]) == (
        "0.20000000",
        "0.20000000",
        "30000.00000000",
        "6000.00000000",
        "6000.00000000",
    )
    assert (filled["n"], filled["N"], filled["m"], filled["t"]) == (
        "6.00000000",
        "USDT",
        False,
        sold["fills"][0]["tradeId"],
    )
    assert filled["I"] > entered["I"]
    met = alices.named("executionReport")
    assert (met["x"], met["X"], met["i"], met["c"]) == (
        "TRADE",
        "PARTIALLY_FILLED",
        placed["orderId"],
        "alice-1",
    )
    assert (met["n"], met["N"], met["m"], met["w"], met["t"]) == (
        "0.00020000",
        "BTC",
        True,
        True,
        filled["t"],
    )
    assert (met["z"], met["Z"], met["q"]) == ("0.20000000", "6000.00000000", "0.50000000")
    assert settled(bobs, bob) == {
        "BTC": ("4.80000000", "0.00000000"),
        "USDT": ("105994.00000000", "0.00000000"),
    }
    assert settled(alices, alice) == {
        "BTC": ("5.19980000", "0.00000000"),
        "USDT": ("85000.00000000", "9000.00000000"),
    }

    alices.result(
        alices.signed("order.cancel", symbol="BTCUSDT", orderId=placed["orderId"], newClientOrderId="c-1")
    )
    gone = alices.named("executionReport")
    assert (gone["x"], gone["X"], gone["c"], gone["C"]) == ("CANCELED", "CANCELED", "c-1", "alice-1")
    assert (gone["z"], gone["Z"], gone["w"], gone["i"]) == (
        "0.20000000",
        "6000.00000000",
        False,
        placed["orderId"],
    )
    assert settled(alices, alice)["USDT"] == ("94000.00000000", "0.00000000")


def test_an_order_that_was_there_before_the_subscription_is_told_with_all_it_had(
    exchange: Exchange, alice: Trader, bob: Trader
) -> None:
    order = alice.limit("SELL", "0.5", "30000").json()
    assert bob.limit("BUY", "0.1", "30000").json()["status"] == "FILLED"
    with connected(exchange.base, alice) as client:
        subscribed(client)
        assert bob.limit("BUY", "0.4", "30000").json()["status"] == "FILLED"
        # a stream begins where the feed is, a moment behind the answers: it may tell what was before, too
        met = client.named("executionReport", X="FILLED")
        assert (met["i"], met["x"]) == (order["orderId"], "TRADE")
        assert (met["q"], met["l"], met["z"], met["Z"]) == (
            "0.50000000",
            "0.40000000",
            "0.50000000",
            "15000.00000000",
        )
        assert (met["n"], met["N"], met["O"]) == ("12.00000000", "USDT", order["transactTime"])
        assert settled(client, alice) == {
            "BTC": ("4.50000000", "0.00000000"),
            "USDT": ("114985.00000000", "0.00000000"),
        }


def test_what_cannot_rest_expires_and_what_is_refused_is_not_told(alices: Socket, alice: Trader) -> None:
    ioc = alices.result(alices.order("BUY", "0.01", "20000", timeInForce="IOC"))
    assert ioc["status"] == "EXPIRED"
    told = [alices.named("executionReport") for _ in range(2)]
    assert [(e["x"], e["X"], e["i"]) for e in told] == [
        ("NEW", "NEW", ioc["orderId"]),
        ("EXPIRED", "EXPIRED", ioc["orderId"]),
    ]
    assert settled(alices, alice)["USDT"] == ("100000.00000000", "0.00000000")
    poor = alices.order("BUY", "100", "30000")
    assert poor["error"]["code"] == -2010
    alices.result(alices.order("SELL", "0.01", "40000"))
    assert alices.named("executionReport")["S"] == "SELL"  # nothing was told of the refused one
    alices.result(alices.signed("openOrders.cancelAll", symbol="BTCUSDT"))


def test_a_maker_that_would_take_is_told_as_rejected(alices: Socket, bob: Trader, alice: Trader) -> None:
    bob.limit("SELL", "0.1", "30000")
    refused = alices.signed(
        "order.place", symbol="BTCUSDT", side="BUY", type="LIMIT_MAKER", quantity="0.1", price="30000"
    )
    assert refused["error"] == {"code": -2010, "msg": "Order would immediately match and take."}
    told = alices.named("executionReport")
    assert (told["x"], told["X"], told["r"], told["w"]) == (
        "REJECTED",
        "REJECTED",
        "WOULD_MATCH_IMMEDIATELY",
        False,
    )
    assert settled(alices, alice)["USDT"] == ("100000.00000000", "0.00000000")
    bob.call("DELETE", "openOrders", symbol="BTCUSDT")


OCO = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "quantity": "0.1",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "32000",
    "belowType": "STOP_LOSS_LIMIT",
    "belowStopPrice": "28000",
    "belowPrice": "27900",
    "belowTimeInForce": "GTC",
}


def test_amended_and_replaced_orders_are_told(alices: Socket, alice: Trader) -> None:
    order = alices.result(alices.order("BUY", "0.5", "20000"))
    amended = alices.result(
        alices.signed("order.amend.keepPriority", symbol="BTCUSDT", orderId=order["orderId"], newQty="0.3")
    )
    told = alices.named("executionReport", x="REPLACED")
    assert (told["q"], told["C"], told["I"]) == ("0.30000000", order["clientOrderId"], amended["executionId"])
    assert settled(alices, alice)["USDT"] == ("94000.00000000", "6000.00000000")
    replaced = alices.result(
        alices.signed(
            "order.cancelReplace",
            symbol="BTCUSDT",
            side="BUY",
            type="LIMIT",
            timeInForce="GTC",
            quantity="0.2",
            price="21000",
            cancelReplaceMode="STOP_ON_FAILURE",
            cancelOrderId=order["orderId"],
        )
    )
    assert alices.named("executionReport")["x"] == "CANCELED"
    entered = alices.named("executionReport")
    assert (entered["x"], entered["i"]) == ("NEW", replaced["newOrderResponse"]["orderId"])
    assert settled(alices, alice)["USDT"] == ("95800.00000000", "4200.00000000")
    failed = alices.signed(
        "order.cancelReplace",
        symbol="BTCUSDT",
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity="0.2",
        price="21000",
        cancelReplaceMode="STOP_ON_FAILURE",
        cancelOrderId=order["orderId"],
    )
    assert (failed["status"], failed["error"]["code"]) == (400, -2022)
    assert failed["error"]["data"]["cancelResult"] == "FAILURE"


def test_an_order_list_is_told_as_a_whole_also_to_who_comes_later(
    exchange: Exchange, alices: Socket, alice: Trader, bob: Trader
) -> None:
    alice.limit("BUY", "0.001", "30000")
    bob.limit("SELL", "0.001", "30000")
    placed = alices.result(alices.signed("orderList.place.oco", **OCO))
    list_id = placed["orderListId"]
    legs = [alices.named("executionReport", g=list_id) for _ in range(2)]
    assert {(e["o"], e["x"], e["w"]) for e in legs} == {
        ("LIMIT_MAKER", "NEW", True),
        ("STOP_LOSS_LIMIT", "NEW", False),
    }
    begun = alices.named("listStatus")
    assert (begun["g"], begun["c"], begun["l"], begun["L"]) == (list_id, "OCO", "EXEC_STARTED", "EXECUTING")
    assert {leg["i"] for leg in begun["O"]} == {order["orderId"] for order in placed["orders"]}
    with connected(exchange.base, alice) as late:
        subscribed(late)
        alices.result(alices.signed("orderList.cancel", symbol="BTCUSDT", orderListId=list_id))
        for client in (alices, late):
            gone = [client.named("executionReport", x="CANCELED") for _ in range(2)]
            assert {e["i"] for e in gone} == {leg["i"] for leg in begun["O"]}
            ended = client.named("listStatus")
            assert (ended["l"], ended["L"], ended["C"]) == ("ALL_DONE", "ALL_DONE", begun["C"])
            assert sorted(ended["O"], key=str) == sorted(begun["O"], key=str)
    assert settled(alices, alice)["BTC"][1] == "0.00000000"


def test_money_that_comes_in_is_told_once(exchange: Exchange, alices: Socket, alice: Trader) -> None:
    deposit = {"asset": "USDT", "amount": "12.5", "deposit_id": f"told-{alice.account_id}"}
    for _ in range(2):
        exchange.operator("POST", f"accounts/{alice.account_id}/deposits", deposit)
    other = {"asset": "BTC", "amount": "1"}
    exchange.operator("POST", f"accounts/{alice.account_id}/deposits", other)
    first, second = alices.named("balanceUpdate"), alices.named("balanceUpdate")
    assert set(first) == {"e", "E", "a", "d", "T"}
    assert [(e["a"], e["d"]) for e in (first, second)] == [("USDT", "12.50000000"), ("BTC", "1.00000000")]


def test_subscriptions_are_one_an_account_and_end_when_asked(exchange: Exchange, alice: Trader) -> None:
    with connected(exchange.base, alice) as client:
        subscribed(client)
        again = client.signed("userDataStream.subscribe.signature")
        assert (again["status"], again["error"]["code"]) == (400, -2035)
        assert client.result(client.ask("session.subscriptions")) == [{"subscriptionId": 0}]
        unknown = client.ask("userDataStream.unsubscribe", subscriptionId=7)
        assert (unknown["status"], unknown["error"]["code"]) == (400, -2036)
        assert client.result(client.ask("userDataStream.unsubscribe", subscriptionId=0)) == {}
        assert client.named("eventStreamTerminated")["E"] > 0
        assert client.ask("userDataStream.unsubscribe")["error"]["code"] == -2036
        client.result(client.order("BUY", "0.01", "20000"))
        assert client.result(client.signed("userDataStream.subscribe.signature")) == {"subscriptionId": 1}
        client.result(client.signed("openOrders.cancelAll", symbol="BTCUSDT"))
        told = [client.named("executionReport")["x"]]
        if told == ["NEW"]:  # a stream begins where the feed is, which may be a moment behind the answers
            told.append(client.named("executionReport")["x"])
        assert told[-1] == "CANCELED"


def test_a_session_subscribes_without_signing_and_logging_out_ends_it(
    exchange: Exchange, alice: Trader
) -> None:
    with connected(exchange.base, alice) as client:
        client.result(client.signed("session.logon"))
        assert client.result(client.ask("userDataStream.subscribe")) == {"subscriptionId": 0}
        assert client.result(client.ask("session.status"))["userDataStream"] is True
        client.result(client.ask("session.logout"))
        client.named("eventStreamTerminated")
        assert client.result(client.ask("session.subscriptions")) == []


def test_nobody_hears_of_another_account(exchange: Exchange, alices: Socket, bob: Trader) -> None:
    for _ in range(20):
        order = bob.limit("BUY", "0.001", "20000").json()
        bob.call("DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"])
    alices.result(alices.order("BUY", "0.001", "20000", newClientOrderId="mine"))
    assert alices.named("executionReport")["c"] == "mine"
    alices.result(alices.signed("openOrders.cancelAll", symbol="BTCUSDT"))


def user_data(exchange: Exchange) -> Worker:
    return next(worker for worker in exchange.workers if worker.module == "ingest.user_data")


def test_a_user_data_process_that_dies_ends_the_streams_and_its_successor_goes_on(
    exchange: Exchange, alice: Trader
) -> None:
    worker = user_data(exchange)
    assert worker.process is not None
    with connected(exchange.base, alice) as client:
        subscribed(client)
        order = client.result(client.order("BUY", "0.01", "20000"))
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        client.named("eventStreamTerminated")
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            client.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    worker.start()
    with connected(exchange.base, alice) as client:
        until(lambda: client.signed("userDataStream.subscribe.signature")["status"] == 200)
        client.result(client.signed("order.cancel", symbol="BTCUSDT", orderId=order["orderId"]))
        assert client.named("executionReport")["x"] == "CANCELED"
        assert settled(client, alice)["USDT"] == ("100000.00000000", "0.00000000")


def listen_key(trader: Trader, method: str, key: str = "") -> Any:
    """Ask as old clients do: with the API key alone, nothing signed."""
    parameters = {"listenKey": key} if key else {}
    url, headers = f"{trader.base}/api/v3/userDataStream", {"X-MBX-APIKEY": trader.api_key}
    return trader.http.request(method, url, params=parameters, headers=headers)


def test_a_listen_key_hears_bare_events_until_it_is_ended(
    exchange: Exchange, alice: Trader, bob: Trader
) -> None:
    issued = until(lambda: (a := listen_key(alice, "POST")).status_code == 200 and a).json()
    key = issued["listenKey"]
    assert (set(issued), len(key), key.isalnum()) == ({"listenKey"}, 64, True)
    assert listen_key(alice, "POST").json() == issued
    assert listen_key(alice, "PUT", key).json() == {}
    unknown = {"code": -1125, "msg": "This listenKey does not exist."}
    until(lambda: listen_key(bob, "POST").status_code == 200)
    for method in ("PUT", "DELETE"):
        assert listen_key(bob, method, key).json() == unknown
    address = exchange.base.replace("http", "ws", 1) + f"/ws/{key}"
    with websockets.sync.client.connect(address, compression=None) as connection:
        order = alice.limit("BUY", "0.01", "20000").json()
        heard = [json.loads(connection.recv(30)) for _ in range(2)]
        assert [event["e"] for event in heard] == ["executionReport", "outboundAccountPosition"]
        assert heard[0]["i"] == order["orderId"]
        assert listen_key(alice, "DELETE", key).json() == {}
        assert listen_key(alice, "PUT", key).json() == unknown
        last = json.loads(connection.recv(30))
        assert (last["e"], last["listenKey"]) == ("listenKeyExpired", key)
        with pytest.raises(websockets.exceptions.ConnectionClosedOK):
            connection.recv(30)
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        websockets.sync.client.connect(address, compression=None)
    assert json.loads(refused.value.response.body) == unknown
    assert listen_key(alice, "POST").json() != issued
