"""What meets the public port: credentials, malformed requests, slow clients, the operator's side."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import websockets

from tests.integration.ingest.exchange import REJECTED, Exchange, Trader
from tests.waiting import until

pytestmark = pytest.mark.long
NOT_SUPPORTED = {"code": -1020, "msg": "This operation is not supported."}


@pytest.fixture(scope="module")
def trader(exchange: Exchange) -> Trader:
    return exchange.trader(USDT="1000000")


def raw_exchange(base: str, data: bytes, timeout_s: float = 60) -> bytes:
    """Send bytes as they are; return all that comes until the server closes."""
    parts = urlsplit(base)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=timeout_s) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        return received


def test_no_key_and_a_wrong_key_and_a_wrong_signature(exchange: Exchange, trader: Trader) -> None:
    now = int(time.time() * 1000)
    raw = trader.sign({"timestamp": now})
    nobody = exchange.http.get(f"{exchange.base}/api/v3/account?{raw}")
    assert (nobody.status_code, nobody.json()["code"]) == (401, -2014)
    stranger = trader.send("GET", "account", raw, **{"X-MBX-APIKEY": "z" * 64})
    assert (stranger.status_code, stranger.json()) == (401, REJECTED)
    forged = trader.send("GET", "account", raw[:-1] + ("0" if raw[-1] != "0" else "1"))
    assert (forged.status_code, forged.json()["code"]) == (400, -1022)
    late = trader.send("GET", "account", trader.sign({"timestamp": now - 6000}))
    early = trader.send("GET", "account", trader.sign({"timestamp": now + 5000}))
    assert [answer.json()["code"] for answer in (late, early)] == [-1021, -1021]
    server_ms = exchange.http.get(f"{exchange.base}/api/v3/time").json()["serverTime"]
    assert abs(server_ms - time.time() * 1000) < 5000


def test_a_delete_may_carry_its_parameters_in_the_body(exchange: Exchange, trader: Trader) -> None:
    order = trader.limit("BUY", "0.01", "20000").json()
    raw = trader.sign(
        {"orderId": order["orderId"], "symbol": "BTCUSDT", "timestamp": int(time.time() * 1000)}
    )
    headers = {"X-MBX-APIKEY": trader.api_key, "Content-Type": "application/x-www-form-urlencoded"}
    url = f"{exchange.base}/api/v3/order"
    answer = exchange.http.request("DELETE", url, content=raw, headers=headers)
    assert answer.json()["status"] == "CANCELED"


def test_a_read_only_key_reads_and_may_not_trade(exchange: Exchange, trader: Trader) -> None:
    reader = exchange.key(trader.account_id, can_trade=False)
    assert reader.call("GET", "account").json()["canTrade"] is False
    for answer in (
        reader.limit("BUY", "0.01", "20000"),
        reader.call("DELETE", "order", symbol="BTCUSDT", orderId=1),
        reader.call("DELETE", "openOrders", symbol="BTCUSDT"),
    ):
        assert (answer.status_code, answer.json()) == (401, REJECTED)


def test_a_revoked_key_is_refused_by_every_worker(exchange: Exchange, trader: Trader) -> None:
    key = exchange.key(trader.account_id)
    worker, base = exchange.gateway(5)
    worker.start()
    try:
        elsewhere = Trader(base, key.api_key, key.secret, key.account_id, key.http)
        assert until(lambda: elsewhere.call("GET", "account").status_code == 200)
        gone = exchange.operator("DELETE", f"accounts/{key.account_id}/api-keys/{key.api_key}")
        assert gone.status_code == 200
        for refused in (key, elsewhere):
            until(lambda refused=refused: refused.call("GET", "account").json() == REJECTED)  # type: ignore[misc]
    finally:
        assert worker.stop() == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("symbol=BTCUSDT&symbol=BTCUSDT", -1101),
        ("balance=1000000&status=FILLED&fee_rate=0&is_admin=true", -1104),
        ("accountId=1", -1104),
        ('{"symbol":"BTCUSDT"}', -1104),
        ("\ufeffsymbol=BTCUSDT", -1104),
        ("%00=1", -1104),
    ],
)
def test_what_does_not_belong_into_an_order_is_refused(trader: Trader, body: str, code: int) -> None:
    raw = trader.sign({"timestamp": int(time.time() * 1000)}).split("&signature=", maxsplit=1)[0] + "&" + body
    import hashlib
    import hmac

    signature = hmac.new(trader.secret.encode(), raw.encode(), hashlib.sha256).hexdigest()
    answer = trader.send("POST", "order", f"{raw}&signature={signature}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_odd_bodies_have_odd_statuses_and_our_words(trader: Trader) -> None:
    form = "application/x-www-form-urlencoded"
    for content, headers, status in (
        ("x" * 20_000, {"Content-Type": form}, 413),
        ('{"symbol":1}', {"Content-Type": "application/json"}, 415),
        ("[" * 10_000, {"Content-Type": "application/json"}, 415),
        ("a=1", {"Content-Type": form, "Content-Encoding": "gzip"}, 415),
    ):
        answer = trader.send("POST", "order", content, **headers)
        assert (answer.status_code, set(answer.json())) == (status, {"code", "msg"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/sapi/v1/capital/config/getall", 404),
        ("GET", "/fapi/v1/exchangeInfo", 404),
        ("GET", "/api/v1/ping", 404),
        ("GET", "/api/v3/nothing", 404),
        ("GET", "/metrics", 404),
        ("GET", "/health/ready", 404),
        ("GET", "/debug", 404),
        ("GET", "/admin/v1/accounts", 404),
        ("GET", "/api/v3/../../etc/passwd", 404),
        ("PUT", "/api/v3/order", 405),
        ("POST", "/api/v3/ping", 405),
        ("PATCH", "/api/v3/account", 405),
    ],
)
def test_what_is_not_here_is_refused_in_our_words(
    exchange: Exchange, method: str, path: str, status: int
) -> None:
    answer = exchange.http.request(method, exchange.base + path, headers={"X-HTTP-Method-Override": "GET"})
    assert (answer.status_code, answer.json()) == (status, NOT_SUPPORTED)


def test_smart_order_routing_is_not_enabled(exchange: Exchange) -> None:
    answer = exchange.http.post(f"{exchange.base}/api/v3/sor/order")
    assert (answer.status_code, answer.json()) == (400, {"code": -1013, "msg": "SOR is not enabled."})


def test_a_request_that_dawdles_is_cut(exchange: Exchange) -> None:
    head = b"POST /api/v3/order HTTP/1.1\r\nHost: x\r\n"
    unfinished = raw_exchange(exchange.base, head, 15)
    assert unfinished == b""
    form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nsymbol="
    assert raw_exchange(exchange.base, head + form, 15) == b""


def test_exchange_info_lists_what_trades(exchange: Exchange) -> None:
    def ask(query: str) -> httpx.Response:
        return exchange.http.get(f"{exchange.base}/api/v3/exchangeInfo{query}")

    info = ask("").json()
    assert {"BTCUSDT", "ETHUSDT", "ETHBTC"} <= {row["symbol"] for row in info["symbols"]}
    assert [row["symbol"] for row in ask("?symbol=ETHBTC").json()["symbols"]] == ["ETHBTC"]
    both = ask('?symbols=["ETHBTC","BTCUSDT"]&permissions=SPOT').json()
    assert [row["symbol"] for row in both["symbols"]] == ["ETHBTC", "BTCUSDT"]
    assert ask("?symbolStatus=HALT").json()["symbols"] == []
    for query, code in (
        ("?symbol=NOSUCH", -1121),
        ('?symbol=ETHBTC&symbols=["ETHBTC"]', -1128),
        ('?symbols=["ETHBTC","ETHBTC"]', -1151),
        ("?symbolStatus=OPEN", -1122),
        ("?symbols=ETHBTC", -1135),
    ):
        assert (ask(query).status_code, ask(query).json()["code"]) == (400, code)


def test_the_documentation_is_of_the_public_api_alone(exchange: Exchange) -> None:
    document = exchange.http.get(f"{exchange.base}/openapi.json").json()
    assert {"/api/v3/order", "/api/v3/depth", "/api/v3/klines"} <= set(document["paths"])
    assert not [path for path in document["paths"] if "admin" in path]
    assert "swagger" in exchange.http.get(f"{exchange.base}/docs").text
    admin = exchange.http.get(f"{exchange.admin}/openapi.json").json()
    assert "/admin/v1/accounts/{account_id}/deposits" in admin["paths"]


def test_only_the_operator_has_the_admin_api(exchange: Exchange, trader: Trader) -> None:
    url = f"{exchange.admin}/admin/v1/accounts"
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-MBX-APIKEY": trader.api_key}):
        answer = exchange.http.get(url, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
    for method, path, status in (
        ("GET", "nothing", 404),
        ("PUT", "accounts", 405),
        ("GET", "accounts/999", 404),
    ):
        refused = exchange.operator(method, path)
        assert (refused.status_code, set(refused.json())) == (status, {"code", "msg"})


def test_a_deposit_funds_once(exchange: Exchange) -> None:
    account_id = exchange.trader().account_id
    path = f"accounts/{account_id}/deposits"
    body = {"asset": "USDT", "amount": "10.5", "deposit_id": f"d-{account_id}"}
    for _ in range(3):
        assert exchange.operator("POST", path, body).json()["amount"] == "10.50000000"
    other = exchange.operator("POST", path, {**body, "amount": "11"})
    assert (other.status_code, other.json()["code"]) == (409, "deposit_id_reused")
    shown = exchange.operator("GET", f"accounts/{account_id}").json()
    assert shown["balances"] == [{"asset": "USDT", "available": "10.50000000", "locked": "0.00000000"}]
    bad: list[dict[str, Any]] = [
        {"amount": "-1"}, {"amount": "0"}, {"amount": "1e3"}, {"amount": 5}, {"amount": "0.000000001"},
        {"amount": "92233720368.54775808"}, {"asset": "XXX"}, {"deposit_id": "a b"}, {"balance": "1"},
    ]  # fmt: skip
    for change in bad:
        refused = exchange.operator("POST", path, {"asset": "USDT", "amount": "1", **change})
        assert (refused.status_code, set(refused.json())) == (422, {"code", "msg"}), change
    most = exchange.operator("POST", path, {"asset": "USDT", "amount": "92233720368"})
    assert (most.status_code, most.json()["code"]) == (422, "invalid_amount")
    assert "all USDT of the exchange must fit 63 bits" in most.json()["msg"]
    for account in (1, 2, 999_999):
        answer = exchange.operator("POST", f"accounts/{account}/deposits", {"asset": "USDT", "amount": "1"})
        assert answer.status_code == 404


def test_the_gateway_forwards_market_data_and_streams(exchange: Exchange, trader: Trader) -> None:
    seller = exchange.trader(BTC="1")
    order = trader.limit("BUY", "0.01", "19000").json()
    depth = exchange.http.get(f"{exchange.base}/api/v3/depth?symbol=BTCUSDT&limit=5")
    assert ["19000.00000000", "0.01000000"] in depth.json()["bids"]
    assert depth.headers["x-mbx-used-weight-1m"]
    assert exchange.http.get(f"{exchange.base}/api/v3/depth?symbol=NOSUCH").json()["code"] == -1121

    async def watch() -> Any:
        async with websockets.connect(f"{exchange.base.replace('http', 'ws')}/ws/btcusdt@trade") as stream:
            await stream.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": 7}))
            listed = json.loads(await asyncio.wait_for(stream.recv(), 60))
            assert listed == {"result": ["btcusdt@trade"], "id": 7}
            sold = await asyncio.to_thread(seller.limit, "SELL", "0.01", "19000")
            assert sold.json()["status"] == "FILLED"
            return json.loads(await asyncio.wait_for(stream.recv(), 60))

    event = asyncio.run(watch())
    assert (event["e"], event["p"], event["q"], event["m"]) == ("trade", "19000.00000000", "0.01000000", True)
    stored = trader.call("GET", "order", symbol="BTCUSDT", orderId=order["orderId"]).json()
    assert stored["status"] == "FILLED"


def test_without_market_data_the_gateway_says_so(exchange: Exchange) -> None:
    worker, base = exchange.gateway(6, TAPEHOUSE_GATEWAY__MARKET_DATA_URL="http://127.0.0.1:9")
    worker.start()
    try:
        answer = exchange.http.get(f"{base}/api/v3/depth?symbol=BTCUSDT")
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, -1008, "1")
        upgrade = b"GET /stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n"
        assert raw_exchange(base, upgrade).startswith(b"HTTP/1.1 503 ")
        assert exchange.http.get(f"{base}/api/v3/ping").json() == {}
    finally:
        assert worker.stop() == 0
