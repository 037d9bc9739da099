"""The WebSocket API against the running services: requests, sessions, limits, and what must not get in."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import websockets.exceptions
import websockets.sync.client

from tests.integration.ingest.exchange import REJECTED, Exchange, Trader, early_in_a_minute
from tests.integration.ingest.socket_client import Socket, connected

pytestmark = pytest.mark.long
NOT_SUPPORTED = {"code": -1020, "msg": "This operation is not supported."}
BAD_KEY = {"code": -2014, "msg": "API-key format invalid."}


@pytest.fixture(scope="module")
def trader(exchange: Exchange) -> Trader:
    return exchange.trader(USDT="1000000", BTC="10")


@pytest.fixture
def api(exchange: Exchange, trader: Trader) -> Iterator[Socket]:
    with connected(exchange.base, trader) as client:
        yield client


def test_ids_come_back_as_they_were_sent(api: Socket) -> None:
    for request_id in (7, -1, 2**53, "7", "", "a-uuid", None):
        api.connection.send(json.dumps({"id": request_id, "method": "ping"}))
        answer = api.receive()
        assert (answer["id"], answer["status"], answer["result"]) == (request_id, 200, {})
        assert type(answer["id"]) is type(request_id)
    api.connection.send(json.dumps({"method": "v3/time"}))
    answer = api.receive()
    assert answer["id"] is None
    assert abs(answer["result"]["serverTime"] - time.time() * 1000) < 5000


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", -1135),
        ("{", -1135),
        ("[]", -1135),
        ('"ping"', -1135),
        ("[" * 60_000, -1135),
        ('{"id":1.5,"method":"ping"}', -1130),
        ('{"id":{},"method":"ping"}', -1130),
        ('{"id":true,"method":"ping"}', -1130),
        ('{"id":9223372036854775808,"method":"ping"}', -1130),
        ('{"id":null}', -1102),
        ('{"id":null,"method":7}', -1102),
        ('{"id":null,"method":"ping","params":[]}', -1130),
        ('{"id":null,"method":"ping","params":"x"}', -1130),
        ('{"id":null,"method":"userDataStream.start","params":{}}', -1020),
        ('{"id":null,"method":"userDataStream.ping"}', -1020),
        ('{"id":null,"method":"userDataStream.stop"}', -1020),
        ('{"id":null,"method":"userDataStream.subscribe.listenToken"}', -1020),
        ('{"id":null,"method":"__class__"}', -1020),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_goes_on(
    api: Socket, message: str, code: int
) -> None:
    api.connection.send(message)
    answer = api.receive()
    assert (answer["id"], answer["status"], answer["error"]["code"]) == (None, 400, code)
    assert api.ask("ping")["status"] == 200


def test_markets_are_asked_as_over_rest(exchange: Exchange, api: Socket) -> None:
    rest = exchange.http.get(f"{exchange.base}/api/v3/exchangeInfo?symbol=ETHBTC").json()
    found = api.result(api.ask("exchangeInfo", symbol="ETHBTC"))
    assert found["symbols"] == rest["symbols"]
    several = api.result(api.ask("exchangeInfo", symbols=["ETHBTC", "BTCUSDT"]))
    assert {row["symbol"] for row in several["symbols"]} == {"ETHBTC", "BTCUSDT"}
    assert set(api.result(api.ask("depth", symbol="ETHBTC", limit=5))) == {"lastUpdateId", "bids", "asks"}
    assert isinstance(api.result(api.ask("ticker.price", symbols=["ETHBTC"])), list)
    wrong = api.ask("depth", symbol="NOPE")
    assert (wrong["status"], wrong["error"]["code"]) == (400, -1121)


def test_orders_and_queries_answer_what_rest_answers(api: Socket, trader: Trader) -> None:
    placed = api.result(api.order("BUY", "0.01", "20000", newOrderRespType="RESULT"))
    assert (placed["status"], placed["price"]) == ("NEW", "20000.00000000")
    order_id = placed["orderId"]
    by_text = api.result(api.signed("order.status", symbol="BTCUSDT", orderId=str(order_id)))
    by_number = api.result(api.signed("order.status", symbol="BTCUSDT", orderId=order_id))
    rest = trader.call("GET", "order", symbol="BTCUSDT", orderId=order_id).json()
    assert by_text == by_number == rest
    assert rest in api.result(api.signed("openOrders.status", symbol="BTCUSDT"))
    assert (
        api.result(api.signed("order.test", symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)) == {}
    )
    canceled = api.result(api.signed("order.cancel", symbol="BTCUSDT", orderId=order_id))
    assert (canceled["status"], canceled["orderId"]) == ("CANCELED", order_id)
    gone = api.signed("order.cancel", symbol="BTCUSDT", orderId=order_id)
    assert (gone["status"], gone["error"]) == (400, {"code": -2011, "msg": "Unknown order sent."})
    account = api.result(api.signed("account.status", omitZeroBalances=True))
    assert account["uid"] == trader.account_id
    assert [row["orderId"] for row in api.result(api.signed("allOrders", symbol="BTCUSDT"))][-1] == order_id
    assert api.result(api.signed("myTrades", symbol="BTCUSDT")) == []
    assert api.result(api.order("BUY", "0.01", "20000"))["status"] == "NEW"
    assert len(api.result(api.signed("openOrders.cancelAll", symbol="BTCUSDT"))) == 1


def test_numbers_are_signed_as_they_are_written(api: Socket) -> None:
    """A client that sends JSON numbers signs their text; 1e-3 would be no decimal, 0.0010 is one."""
    signed = api.sign({"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"})
    base = {k: v for k, v in signed.items() if k != "signature"}
    texts = {**{k: str(v) for k, v in base.items()}, "price": "20000.10", "quantity": "0.0010"}
    raw = "&".join(f"{k}={texts[k]}" for k in sorted(texts))
    assert api.trader is not None
    signature = hmac.new(api.trader.secret.encode(), raw.encode(), hashlib.sha256).hexdigest()
    body = json.dumps({**base, "signature": signature})[:-1] + ',"price":20000.10,"quantity":0.0010}'
    api.connection.send(f'{{"id":1,"method":"order.place","params":{body}}}')
    placed = api.result(api.receive())
    assert (placed["price"], placed["origQty"]) == ("20000.10000000", "0.00100000")
    api.result(api.signed("openOrders.cancelAll", symbol="BTCUSDT"))


def test_a_value_with_reserved_characters_may_be_signed_raw_or_encoded(api: Socket) -> None:
    assert api.trader is not None
    for number in range(2):
        given = {
            "apiKey": api.trader.api_key,
            "symbol": "BTCUSDT",
            "origClientOrderId": f"a:b/{number}",
            "timestamp": int(time.time() * 1000),
        }
        pairs = sorted(given.items())
        raw = urlencode(pairs) if number else "&".join(f"{k}={v}" for k, v in pairs)
        signature = hmac.new(api.trader.secret.encode(), raw.encode(), hashlib.sha256).hexdigest()
        answer = api.ask("order.status", **given, signature=signature)
        assert answer["error"] == {"code": -2013, "msg": "Order does not exist."}


def test_limits_stand_in_answers_when_they_are_asked_for(
    exchange: Exchange, trader: Trader, api: Socket
) -> None:
    rows = api.ask("ping")["rateLimits"]
    assert [(row["rateLimitType"], row["interval"], row["intervalNum"]) for row in rows] == [
        ("REQUEST_WEIGHT", "MINUTE", 1)
    ]
    assert rows[0]["count"] > 0
    counted = api.order("BUY", "0.01", "20000")["rateLimits"]
    assert [row["rateLimitType"] for row in counted] == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
    assert [(row["interval"], row["intervalNum"]) for row in counted[:2]] == [("SECOND", 10), ("DAY", 1)]
    assert "rateLimits" not in api.signed("openOrders.cancelAll", symbol="BTCUSDT", returnRateLimits=False)
    with connected(exchange.base, trader, "?returnRateLimits=false") as quiet:
        assert "rateLimits" not in quiet.ask("ping")
        assert "rateLimits" in quiet.ask("ping", returnRateLimits=True)


@pytest.mark.parametrize(
    "method",
    [
        *("order.place", "order.cancel", "order.status", "openOrders.status", "openOrders.cancelAll"),
        *("allOrders", "myTrades", "account.status", "account.rateLimits.orders"),
        *("userDataStream.subscribe.signature", "session.logon"),
    ],
)
def test_nobody_gets_in_without_a_key(exchange: Exchange, method: str) -> None:
    with connected(exchange.base) as nobody:
        answer = nobody.ask(method, symbol="BTCUSDT", timestamp=int(time.time() * 1000), signature="00")
        assert (answer["status"], answer["error"]) == (401, BAD_KEY)
        answer = nobody.ask(method, symbol="BTCUSDT", timestamp=1, signature="00", apiKey="z" * 64)
        assert (answer["status"], answer["error"]) == (401, REJECTED)
        refused = nobody.ask("userDataStream.subscribe")
        assert (refused["status"], refused["error"]["code"]) == (401, -1002)


def test_a_wrong_signature_a_late_or_early_request_and_too_few_rights(
    exchange: Exchange, trader: Trader, api: Socket
) -> None:
    good = api.sign({"symbol": "BTCUSDT"})
    forged = {**good, "signature": "0" * 64}
    for method, params, code in (
        ("openOrders.status", forged, -1022),
        ("openOrders.status", {**good, "symbol": "ETHBTC"}, -1022),
        ("openOrders.status", api.sign({"timestamp": int(time.time() * 1000) - 6000}), -1021),
        ("openOrders.status", api.sign({"timestamp": int(time.time() * 1000) + 5000}), -1021),
        ("openOrders.status", api.sign({"recvWindow": 60001}), -1131),
        ("userDataStream.subscribe.signature", forged, -1022),
        ("session.logon", forged, -1022),
    ):
        assert api.ask(method, **params)["error"]["code"] == code
    reader = exchange.key(trader.account_id, can_trade=False)
    with connected(exchange.base, reader) as client:
        refused = client.order("BUY", "0.01", "20000")
        assert (refused["status"], refused["error"]) == (401, REJECTED)
        assert client.signed("account.status")["status"] == 200


def test_a_session_signs_once(api: Socket, trader: Trader) -> None:
    before = api.result(api.ask("session.status"))
    assert (before["apiKey"], before["authorizedSince"], before["userDataStream"]) == (None, None, False)
    now = int(time.time() * 1000)
    assert api.ask("account.status", timestamp=now)["error"] == BAD_KEY
    on = api.result(api.signed("session.logon"))
    assert on["apiKey"] == trader.api_key
    assert on["authorizedSince"] >= on["connectedSince"]
    assert api.result(api.ask("account.status", timestamp=now))["uid"] == trader.account_id
    assert api.ask("account.status")["error"]["code"] == -1102
    assert api.ask("account.status", timestamp=now - 60_000)["error"]["code"] == -1021
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "20000"}
    assert api.result(api.ask("order.place", **terms, quantity="0.01", timestamp=now))["status"] == "NEW"
    assert api.ask("openOrders.cancelAll", symbol="BTCUSDT", timestamp=now)["status"] == 200
    # a signature that is sent counts, whoever has logged on
    assert api.ask("account.status", **{**api.sign({}), "signature": "0" * 64})["error"]["code"] == -1022
    assert api.result(api.ask("session.logout"))["apiKey"] is None
    assert api.ask("account.status", timestamp=now)["error"] == BAD_KEY


def test_a_key_that_is_revoked_ends_its_session_and_its_streams(exchange: Exchange, trader: Trader) -> None:
    key = exchange.key(trader.account_id)
    with connected(exchange.base, key) as client:
        client.result(client.signed("session.logon"))
        client.result(client.ask("userDataStream.subscribe"))
        exchange.operator("DELETE", f"accounts/{key.account_id}/api-keys/{key.api_key}")
        client.named("eventStreamTerminated")
        told = client.receive()
        assert (told["id"], told["status"], told["error"]) == (None, 401, REJECTED)
        state = client.result(client.ask("session.status"))
        assert (state["apiKey"], state["userDataStream"]) == (None, False)
        assert client.ask("account.status", timestamp=int(time.time() * 1000))["error"] == BAD_KEY


def test_weight_ends_with_429_and_a_time_and_a_worker_that_stops_says_so(exchange: Exchange) -> None:
    worker, base = exchange.gateway(
        9, TAPEHOUSE_LIMITS__REQUEST_WEIGHT_1M="30", TAPEHOUSE_PORTS__TRUSTED_PROXIES='["127.0.0.1"]'
    )
    worker.start()
    early_in_a_minute()
    one, two = (f"10.{secrets.randbelow(256)}.{n}.1" for n in (1, 2))
    with connected(base, x_forwarded_for=one) as client, connected(base, x_forwarded_for=two) as other:
        assert client.ask("exchangeInfo")["rateLimits"][0]["count"] == 22  # 2 to connect
        refused = client.ask("exchangeInfo")
        assert (refused["status"], refused["error"]["code"]) == (429, -1003)
        data = refused["error"]["data"]
        assert 0 < data["retryAfter"] - data["serverTime"] <= 61_000
        assert other.ask("exchangeInfo")["status"] == 200
        assert worker.stop() == 0
        assert client.named("serverShutdown")["E"] > 0
        assert closing_code(client) == 1001


def test_other_paths_are_no_websockets(exchange: Exchange) -> None:
    for path in ("/ws-api", "/ws-api/v4", "/api/v3/ping", "/account/v1/x"):
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            websockets.sync.client.connect(exchange.base.replace("http", "ws", 1) + path).close()
        assert refused.value.response.status_code == 404
        assert json.loads(refused.value.response.body or b"") == NOT_SUPPORTED


def closing_code(client: Socket) -> int:
    """Return with which code the server closes."""
    with contextlib.suppress(websockets.exceptions.ConnectionClosed):
        while True:
            client.receive()
    code = client.connection.close_code
    assert code is not None
    return code


def test_a_frame_of_a_megabyte_is_too_big(exchange: Exchange) -> None:
    with connected(exchange.base) as client:
        client.connection.send("x" * 1_000_000)
        assert closing_code(client) == 1009


def test_a_ping_flood_is_cut(exchange: Exchange) -> None:
    with connected(exchange.base) as client:
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            for number in range(50):
                client.connection.ping(str(number))
        assert closing_code(client) == 1008


def test_endless_fragments_are_cut(exchange: Exchange) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield "x"

    with connected(exchange.base) as client:
        with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
            client.connection.send(endless())
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def raw_socket(base: str) -> socket.socket:
    """A connection that has shaken hands and speaks frames by hand."""
    parts = urlsplit(base)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)
    connection.sendall(
        b"GET /ws-api/v3 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert b" 101 " in head
    return connection


def test_a_frame_without_a_mask_is_a_protocol_error(exchange: Exchange) -> None:
    with raw_socket(exchange.base) as connection:
        connection.sendall(b"\x81\x0f" + b'{"method":"ping"}'[:15])
        frame = connection.recv(4096)
        assert (frame[0], struct.unpack("!H", frame[2:4])[0]) == (0x88, 1002)


def test_who_does_not_read_is_cut_and_others_do_not_notice(exchange: Exchange, api: Socket) -> None:
    message = b'{"id":1,"method":"exchangeInfo"}'
    frame = b"\x81" + bytes([0x80 | len(message)]) + b"\0\0\0\0" + message
    with raw_socket(exchange.base) as connection:
        connection.settimeout(5)

        def flood() -> None:
            while True:
                connection.sendall(frame * 50)
                assert api.ask("ping")["status"] == 200

        with pytest.raises(OSError, match=r"[Rr]eset|[Bb]roken pipe"):
            flood()


def test_many_requests_at_once_are_all_answered(api: Socket) -> None:
    wanted = {f"n{number}" for number in range(600)}
    for name in wanted:
        api.connection.send(json.dumps({"id": name, "method": "time"}))
    answered: set[Any] = set()
    while len(answered) < len(wanted):
        answered.add(api.receive()["id"])
    assert answered == wanted


def test_a_connection_may_ask_for_microseconds(exchange: Exchange, trader: Trader) -> None:
    with connected(exchange.base, trader, "?timeUnit=microsecond") as client:
        assert client.result(client.ask("time"))["serverTime"] > 10**15
        client.result(client.signed("userDataStream.subscribe.signature"))
        placed = client.result(client.order("BUY", "0.01", "20000"))
        assert placed["transactTime"] > 10**15
        assert client.named("executionReport", i=placed["orderId"])["T"] == placed["transactTime"]
        client.result(client.signed("order.cancel", symbol="BTCUSDT", orderId=placed["orderId"]))
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        websockets.sync.client.connect(
            exchange.base.replace("http", "ws", 1) + "/ws-api/v3?timeUnit=HOUR", compression=None
        )
    assert refused.value.response.status_code == 400
    assert json.loads(refused.value.response.body)["code"] == -1194
