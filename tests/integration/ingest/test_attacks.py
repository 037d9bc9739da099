"""Bad inputs and attacks, row by row. Each row of the table is a test: here, or where `ELSEWHERE` says.

Row numbers and what each row sends are those of the list of attacks that the exchange promises to stand.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.ingest.exchange import REJECTED, Exchange, Trader
from tests.waiting import until

REPOSITORY = Path(__file__).resolve().parents[3]
FORM = "application/x-www-form-urlencoded"
BTC = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
ORDER = {**BTC, "quantity": "0.01", "price": "20000"}
LAST_ROW = 60
ACCOUNTS = "integration/ingest/test_accounts.py"

ELSEWHERE = {
    6: "integration/ingest/test_trading.py::test_a_replayed_request_makes_no_second_order",
    9: "integration/ingest/test_keys.py::test_a_revoked_key_is_gone_from_all_workers",
    11: f"{ACCOUNTS}::test_forged_tokens_are_refused",
    12: f"{ACCOUNTS}::test_forged_tokens_are_refused",
    13: f"{ACCOUNTS}::test_a_refresh_token_is_good_once_and_a_second_use_ends_the_family",
    14: f"{ACCOUNTS}::test_wrong_passwords_and_unknown_logins_are_one_answer_and_bounded",
    15: f"{ACCOUNTS}::test_odd_passwords_are_refused",
    16: "integration/ingest/test_trading.py::test_anothers_order_does_not_exist",
    21: f"{ACCOUNTS}::test_bodies_are_read_strictly",
    25: "integration/ingest/test_edge_of_the_exchange.py::test_a_request_that_dawdles_is_cut",
    33: "simulation/matcher/test_scenarios.py::test_the_engine_plays_the_scenario",  # market_states.txt
    35: "integration/ingest/test_trading.py::test_what_cannot_rest_expires_with_http_200",
    36: "integration/ingest/test_trading.py::test_more_than_the_balance_is_refused_and_nothing_reserved",
    37: "integration/ingest/test_trading.py::test_a_hundred_orders_at_once_spend_a_balance_once",
    38: "integration/ingest/test_trading.py::test_the_same_client_order_id_never_makes_a_second_order",
    39: "integration/ingest/test_trading.py::test_the_same_client_order_id_never_makes_a_second_order",
    41: "integration/ingest/test_trading.py::test_a_cancel_of_what_is_not_open_is_unknown",
    42: "integration/ingest/test_trading.py::test_a_cancel_right_behind_its_order_finds_it",
    43: "simulation/matcher/test_scenarios.py::test_the_engine_plays_the_scenario",  # amend_and_move.txt
    44: "simulation/matcher/test_scenarios.py::test_the_engine_plays_the_scenario",  # self_trade.txt
    46: "unit/processor/test_decisions.py::test_the_limit_counts_what_the_batch_accepted",
    54: "integration/ingest/test_ws_api.py::test_who_does_not_read_is_cut_and_others_do_not_notice",
    55: "integration/ingest/test_ws_api.py::test_a_key_that_is_revoked_ends_its_session_and_its_streams",
    56: "integration/ingest/test_outages.py::test_without_kafka_orders_are_refused_until_it_is_back",
    57: "integration/ingest/test_trading.py::test_anothers_order_does_not_exist",
    59: "integration/ingest/test_edge_of_the_exchange.py::test_a_deposit_funds_once",
}


@pytest.fixture(scope="module")
def trader(exchange: Exchange) -> Trader:
    return exchange.trader(USDT="1000000")


def raw(base: str, *pieces: bytes, timeout_s: float = 60) -> bytes:
    """Send bytes as they are; return all that comes until the server closes."""
    parts = urlsplit(base)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=timeout_s) as connection:
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        try:
            while piece := connection.recv(65_536):
                received += piece
        except ConnectionResetError:
            pass
        return received


# -- one request, one refusal ------------------------------------------------------------------------


class Attack(NamedTuple):
    row: int
    name: str
    send: Callable[[Trader], httpx.Response]
    status: int
    code: int


def placing(**terms: object) -> Callable[[Trader], httpx.Response]:
    """An order with these terms; None leaves one out."""

    def send(trader: Trader) -> httpx.Response:
        given = {name: value for name, value in {**ORDER, **terms}.items() if value is not None}
        return trader.call("POST", "order", **given)

    return send


def asking(path: str, **parameters: object) -> Callable[[Trader], httpx.Response]:
    return lambda trader: trader.call("GET", path, **parameters)


def sent(method: str, path: str, text: str, **headers: str) -> Callable[[Trader], httpx.Response]:
    return lambda trader: trader.send(method, path, text, **headers)


def known_as(api_key: str) -> Callable[[Trader], httpx.Response]:
    return sent("GET", "account", "timestamp=1&signature=00", **{"X-MBX-APIKEY": api_key})


def typed(content_type: str, body: str = "a=1") -> Callable[[Trader], httpx.Response]:
    return sent("POST", "order", body, **{"Content-Type": content_type})


def withdrawing(trader: Trader) -> httpx.Response:
    return trader.http.post(f"{trader.base}/sapi/v1/capital/withdraw/apply")


def signed(change: Callable[[str], str], path: str = "order", **headers: str) -> Callable[[Trader], Any]:
    """A correctly signed order, changed on its way."""

    def send(trader: Trader) -> httpx.Response:
        text = trader.sign({**ORDER, "timestamp": int(time.time() * 1000)})
        return trader.send("POST", path, change(text), **headers)

    return send


def timed(offset_ms: int, **more: object) -> Callable[[Trader], httpx.Response]:
    return lambda trader: trader.send(
        "GET", "account", trader.sign({"timestamp": int(time.time() * 1000) + offset_ms, **more})
    )


def with_key(**terms: object) -> Callable[[Trader], httpx.Response]:
    """An order by another key of the account, with these terms."""

    def send(trader: Trader) -> httpx.Response:
        made = EXCHANGE[0].operator("POST", f"accounts/{trader.account_id}/api-keys", terms)
        assert made.status_code == 201, made.text
        key = made.json()
        other = Trader(trader.base, key["api_key"], key["secret"], trader.account_id, trader.http)
        # until the worker knows the key its refusal is the same
        until(lambda: other.send("GET", "account", "timestamp=1&signature=00").json() != REJECTED)
        answer = other.call("POST", "order", **ORDER)
        assert EXCHANGE[0].operator("DELETE", f"accounts/{trader.account_id}/api-keys/{key['api_key']}")
        return answer

    return send


EXCHANGE: list[Exchange] = []


@pytest.fixture(autouse=True, scope="module")
def _the_exchange(exchange: Exchange) -> Iterator[None]:
    EXCHANGE.append(exchange)
    yield
    EXCHANGE.clear()


def reversed_order(text: str) -> str:
    *parts, signature = text.split("&")
    return "&".join([*reversed(parts), signature])


DECIMALS = ("1e-8", "1E400", "NaN", "Infinity", "-0", "-1", "+1", " 1", "1 ", "1,000", "\u0661", "0x1", "1_0",
            "1.", ".5", "1" * 400, "1." + "0" * 400, "\uff11", "1\x00")  # fmt: skip
CLIENT_IDS = ("x" * 37, "\U0001f600", "a'; DROP TABLE orders; --", "a\r\nX-Injected: 1", "{{7*7}}", "a b",
              "\x00", "${jndi:ldap://127.0.0.1/a}", "<script>", "return redis.call('FLUSHALL')")  # fmt: skip
SYMBOLS = (
    "btcusdt",
    "BTC/USDT",
    "BTCUSDT\x00",
    "../../etc/passwd",
    "BTC USDT",
    "B" * 21,
    "\u0412TCUSDT",
    "'--",
)

ATTACKS = [
    Attack(1, "no key", known_as(""), 401, -2014),
    Attack(2, "unknown key", known_as("z" * 64), 401, -2015),
    Attack(2, "odd key", known_as("../x"), 401, -2014),
    Attack(3, "wrong signature", signed(lambda t: t[:-64] + "0" * 64), 400, -1022),
    Attack(3, "short signature", signed(lambda t: t[:-1]), 400, -1022),
    Attack(3, "empty signature", signed(lambda t: t[:-64]), 400, -1102),
    Attack(4, "late", timed(-6_000), 400, -1021),
    Attack(4, "later than the largest window", timed(-61_000, recvWindow=60_000), 400, -1021),
    Attack(4, "too large a window", timed(0, recvWindow=60_001), 400, -1131),
    Attack(5, "early", timed(5_000), 400, -1021),
    Attack(7, "altered", signed(lambda t: t.replace("0.01", "0.02")), 400, -1022),
    Attack(7, "another order of parameters", signed(reversed_order), 400, -1022),
    Attack(7, "added", signed(lambda t: f"newClientOrderId=x&{t}"), 400, -1022),
    Attack(7, "twice", signed(lambda t: f"{t}&price=1"), 400, -1101),
    Attack(7, "signature twice", signed(lambda t: f"{t}&{t[-74:]}"), 400, -1101),
    Attack(8, "read only", with_key(can_trade=False), 401, -2015),
    Attack(10, "another address", with_key(allowed_networks=["10.0.0.0/8"]), 401, -2015),
    Attack(17, "another's id", placing(accountId=1001), 400, -1104),
    Attack(17, "another's id in a query", asking("account", uid=1001), 400, -1104),
    *(
        Attack(19, name, placing(**{name: "1"}), 400, -1104)
        for name in ("balance", "status", "fee_rate", "is_admin", "executedQty", "account_id")
    ),
    Attack(20, "JSON", typed("application/json", '{"symbol":"BTCUSDT"}'), 415, -1130),
    Attack(20, "nothing", sent("POST", "order", ""), 400, -1102),
    Attack(20, "an array", sent("POST", "order", "[]"), 400, -1102),
    Attack(20, "a BOM", signed(lambda t: "\ufeff" + t), 400, -1022),
    Attack(22, "deep JSON", asking("openOrders", symbols="[" * 5_000), 400, -1104),
    Attack(23, "too large", sent("POST", "order", "x" * 16_385), 413, -1130),
    Attack(23, "an endless query", sent("GET", "account", "x" * 16_385), 413, -1130),
    Attack(24, "text", typed("text/plain"), 415, -1130),
    Attack(24, "gzip", sent("POST", "order", "a=1", **{"Content-Encoding": "gzip"}), 415, -1130),
    Attack(24, "multipart", typed("multipart/form-data; boundary=a"), 415, -1130),
    *(Attack(26, f"price {text[:12]!r}", placing(price=text), 400, -1100) for text in DECIMALS),
    *(Attack(27, f"quantity {text[:12]!r}", placing(quantity=text), 400, -1100) for text in DECIMALS),
    Attack(27, "price 0", placing(price="0"), 400, -1013),
    Attack(27, "quantity 0", placing(quantity="0"), 400, -1013),
    Attack(27, "no quantity", placing(quantity=""), 400, -1102),
    Attack(28, "between ticks", placing(price="20000.001"), 400, -1013),
    Attack(28, "between lots", placing(quantity="0.0100001"), 400, -1013),
    Attack(28, "nine decimals", placing(price="20000.000000001"), 400, -1111),
    Attack(29, "too much", placing(quantity="99999999"), 400, -1013),
    Attack(29, "too little", placing(quantity="0.00001", price="1"), 400, -1013),
    Attack(30, "beyond 63 bits", placing(quantity="9" * 19, price="9" * 19), 400, -1013),
    Attack(31, "400 digits", placing(quantity="1" * 400), 400, -1100),
    *(Attack(32, repr(text[:16]), placing(symbol=text), 400, -1100) for text in SYMBOLS),
    Attack(32, "unlisted", placing(symbol="NOSUCH"), 400, -1121),
    Attack(34, "side", placing(side="HOLD"), 400, -1117),
    Attack(34, "type", placing(type="ICEBERG"), 400, -1116),
    Attack(34, "time in force", placing(timeInForce="GTX"), 400, -1115),
    Attack(34, "no price", placing(price=None), 400, -1102),
    Attack(34, "MARKET with a price", placing(type="MARKET", timeInForce=None), 400, -1106),
    Attack(34, "LIMIT_MAKER that is IOC", placing(type="LIMIT_MAKER", timeInForce="IOC"), 400, -1106),
    *(Attack(40, repr(text[:12]), placing(newClientOrderId=text), 400, -1100) for text in CLIENT_IDS),
    Attack(40, "empty", placing(newClientOrderId=""), 400, -1118),
    Attack(47, "limit -1", asking("allOrders", symbol="BTCUSDT", limit=-1), 400, -1100),
    Attack(47, "a forged place", asking("allOrders", symbol="BTCUSDT", orderId="1 OR 1=1"), 400, -1100),
    Attack(47, "beyond 63 bits", asking("myTrades", symbol="BTCUSDT", fromId=2**63), 400, -1108),
    Attack(48, "ten years", asking("allOrders", symbol="BTCUSDT", startTime=0, endTime=10**12), 400, -1127),
    *(Attack(49, text[:12], asking("openOrders", symbol=text), 400, -1100) for text in CLIENT_IDS[2:]),
    Attack(49, "a name", placing(**{"x'; DROP TABLE users; --": "1"}), 400, -1104),
    Attack(60, "withdrawals are not offered", withdrawing, 404, -1020),
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=[f"{a.row}-{a.name}" for a in ATTACKS])
def test_it_is_refused_in_the_contracts_words(trader: Trader, attack: Attack) -> None:
    answer = attack.send(trader)
    assert (answer.status_code, answer.json()["code"]) == (attack.status, attack.code), answer.text
    assert set(answer.json()) == {"code", "msg"}
    assert answer.headers["content-type"].startswith("application/json")
    assert not {"access-control-allow-origin", "set-cookie", "server"} & answer.headers.keys()


def test_nothing_of_all_that_had_an_effect(exchange: Exchange, trader: Trader) -> None:
    for attack in ATTACKS[:20]:
        attack.send(trader)
    assert trader.call("GET", "openOrders").json() == []
    assert trader.balances()["USDT"] == ("1000000.00000000", "0.00000000")


# -- what takes more than one request ----------------------------------------------------------------


def test_5_the_server_tells_its_time(exchange: Exchange) -> None:
    told = exchange.http.get(f"{exchange.base}/api/v3/time").json()["serverTime"]
    assert abs(told - time.time() * 1000) < 5_000


def test_17_headers_do_not_say_who_asks(exchange: Exchange, trader: Trader) -> None:
    other = exchange.trader(USDT="5")
    headers = {"X-Account-Id": str(other.account_id), "X-User": "1", "Cookie": "session=admin"}
    text = trader.sign({"timestamp": int(time.time() * 1000)})
    rows = trader.send("GET", "account", text, **headers).json()["balances"]
    assert [row["free"] for row in rows if row["asset"] == "USDT"] == ["1000000.00000000"]


def test_18_an_accounts_key_opens_nothing_of_the_operators(exchange: Exchange, trader: Trader) -> None:
    for headers in ({}, {"X-MBX-APIKEY": trader.api_key}, {"Authorization": f"Bearer {trader.secret}"}):
        for base, status in ((exchange.base, 404), (exchange.admin, 401)):
            answer = exchange.http.post(f"{base}/admin/v1/accounts", headers=headers, json={"name": "x"})
            assert answer.status_code == status


def test_22_deep_json_is_only_refused(exchange: Exchange) -> None:
    for name in ("symbols", "permissions"):
        for text in ("[" * 4_000, "[" * 2_000 + "]" * 2_000, '{"a":' * 800):
            answer = exchange.http.get(f"{exchange.base}/api/v3/exchangeInfo", params={name: text})
            assert answer.status_code == 400 or answer.json()["symbols"] == []


def test_23_a_body_without_a_declared_end_is_bounded(exchange: Exchange) -> None:
    head = b"POST /api/v3/order HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    head += b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    answer = raw(exchange.base, head, *[b"1000\r\n" + b"x" * 4096 + b"\r\n"] * 5)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":-1130' in answer


@pytest.mark.long
def test_25_a_client_that_drips_is_cut(exchange: Exchange) -> None:
    """Five seconds are for the whole request, not for each byte; one that began with a few bytes, too."""
    parts = urlsplit(exchange.base)
    connections = []
    for start in (b"GET /ap", b"GET /api/v3/ping HTTP/1.1\r\nX-A: 1\r\n"):
        connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)
        connection.sendall(start)
        connections.append(connection)
    for connection in connections:
        with connection:
            assert connection.recv(1) == b""


def test_23_a_head_without_an_end_is_cut(exchange: Exchange) -> None:
    start = b"GET /api/v3/ping HTTP/1.1\r\n"
    parts = urlsplit(exchange.base)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as connection:
        connection.sendall(start)
        received = b""
        try:
            for _ in range(200):
                connection.sendall(b"X-A: " + b"a" * 1000 + b"\r\n")
            received = connection.recv(65_536)
        except (ConnectionResetError, BrokenPipeError):
            pass  # cut while it was still sending
    assert received == b"" or received.startswith(b"HTTP/1.1 400 ")
    many = exchange.http.get(f"{exchange.base}/api/v3/ping", headers={f"x-{n}": "1" for n in range(101)})
    assert (many.status_code, set(many.json())) == (413, {"code", "msg"})


def test_47_a_limit_beyond_the_largest_is_the_largest(trader: Trader) -> None:
    answer = trader.call("GET", "allOrders", symbol="BTCUSDT", limit=10**9)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: -1"],
        [b"Content-Length: 5 "[:-1] + b"\x00"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding : chunked"],
        [b"X-A: b\nContent-Length: 5"],
    ],
)
def test_50_a_request_of_two_readings_is_refused(exchange: Exchange, lines: list[bytes]) -> None:
    """Nothing hides behind a body: the second request is never answered."""
    head = b"\r\n".join([b"POST /api/v3/order HTTP/1.1", b"Host: x", *lines, b"", b""])
    answer = raw(exchange.base, head + b"0\r\n\r\nGET /api/v3/time HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"serverTime" not in answer
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 ", b"HTTP/1.1 415 "))
    assert b'"code":-1' in answer


def test_50_who_forwards_is_not_believed_and_the_host_means_nothing(
    exchange: Exchange, trader: Trader
) -> None:
    made = exchange.operator(
        "POST", f"accounts/{trader.account_id}/api-keys", {"allowed_networks": ["10.0.0.0/8"]}
    ).json()
    other = Trader(trader.base, made["api_key"], made["secret"], trader.account_id, trader.http)
    until(lambda: other.send("GET", "account", "timestamp=1&signature=00").json() != REJECTED)
    text = other.sign({"timestamp": int(time.time() * 1000)})
    for headers in (
        {"X-Forwarded-For": "10.0.0.1"},
        {"Forwarded": "for=10.0.0.1", "X-Real-IP": "10.0.0.1", "True-Client-IP": "10.0.0.1"},
        {"Host": "10.0.0.1", "X-Forwarded-Host": "10.0.0.1"},
    ):
        assert other.send("GET", "account", text, **headers).json() == REJECTED
    plain = exchange.http.get(f"{exchange.base}/api/v3/ping", headers={"Host": "evil.example"})
    assert (plain.status_code, plain.text) == (200, "{}")
    injected = raw(
        exchange.base, b"GET /api/v3/ping%0d%0aX-Injected:1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    assert injected.startswith(b"HTTP/1.1 404 ")
    assert b"x-injected" not in injected.lower().split(b"\r\n\r\n")[0]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "PROPFIND"])
def test_51_another_method_does_nothing(trader: Trader, method: str) -> None:
    text = trader.sign({**ORDER, "timestamp": int(time.time() * 1000)})
    headers = {"X-MBX-APIKEY": trader.api_key, "X-HTTP-Method-Override": "POST", "X-Method": "POST"}
    answer = trader.http.request(method, f"{trader.base}/api/v3/order/test?{text}", headers=headers)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_52_no_other_sites_page_may_ask(exchange: Exchange) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for method, path in (
        ("OPTIONS", "/api/v3/order"), ("GET", "/api/v3/ping"), ("OPTIONS", "/account/v1/sessions"),
        ("GET", "/account/v1/user"),
    ):  # fmt: skip
        answer = exchange.http.request(method, exchange.base + path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "set-cookie" not in answer.headers  # nothing that a browser sends by itself signs anybody in


def test_53_no_field_takes_an_address_to_fetch(exchange: Exchange) -> None:
    documents = [f"{exchange.base}/openapi.json", f"{exchange.base}/account/v1/openapi.json"]
    documents.append(f"{exchange.admin}/openapi.json")
    for url in documents:
        text = exchange.http.get(url).text
        assert '"format":"uri"' not in text.replace(" ", "")
        assert not re.search(r'"(url|webhook|callback|redirect\w*)":\s*\{', text)


@pytest.fixture(scope="module")
def tight(exchange: Exchange) -> Iterator[str]:
    """A gateway as it would stand outside: small limits, no documents. Asked from an address of its own."""
    worker, base = exchange.gateway(
        13,
        TAPEHOUSE_LIMITS__REQUEST_WEIGHT_1M="200",
        TAPEHOUSE_LIMITS__CANCELS_1M="5",
        TAPEHOUSE_LIMITS__BAN_AFTER_REFUSALS="10",
        TAPEHOUSE_LIMITS__CONNECTIONS_5M="3",
        TAPEHOUSE_INGEST__PUBLIC_DOCS="false",
    )
    worker.start()
    yield base
    assert worker.stop() == 0


def fresh_address() -> str:
    """An address of this machine that nobody has asked from."""
    return "127." + ".".join(str(1 + secrets.randbelow(254)) for _ in range(3))


def asking_from(address: str) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(local_address=address))


def test_45_limits_are_told_kept_and_their_abuse_ends_in_a_ban(tight: str, trader: Trader) -> None:
    with asking_from(fresh_address()) as http:
        first = http.get(f"{tight}/api/v3/ping")
        assert first.headers["x-mbx-used-weight-1m"] == "1"
        own = Trader(tight, trader.api_key, trader.secret, trader.account_id, http)
        limited = until(  # weight is counted before anybody is known, by the minute of the clock
            lambda: answer if (answer := http.get(f"{tight}/api/v3/account")).status_code == 429 else None
        )
        assert limited.json()["code"] == -1003
        assert 1 <= int(limited.headers["retry-after"]) <= 60
        cancel = own.call("DELETE", "order", symbol="BTCUSDT", orderId=1)
        assert cancel.json()["code"] == -2011  # a cancel is still heard
        banned = until(
            lambda: answer if (answer := http.get(f"{tight}/api/v3/account")).status_code == 418 else None
        )
        assert banned.json()["code"] == -1003
        end_ms = int(re.findall(r"banned until (\d+)", banned.json()["msg"])[0])
        assert end_ms > time.time() * 1000
        assert 1 <= int(banned.headers["retry-after"]) <= 240
        assert http.post(f"{tight}/account/v1/sessions", json={}).json()["code"] == "banned"
        assert own.call("DELETE", "order", symbol="BTCUSDT", orderId=1).json()["code"] == -2011
    with asking_from(fresh_address()) as other:
        assert other.get(f"{tight}/api/v3/ping").status_code == 200


def test_54_attempts_to_open_a_stream_are_counted(tight: str) -> None:
    parts, address = urlsplit(tight), fresh_address()
    answers = []
    for _ in range(4):
        with socket.create_connection(
            (parts.hostname or "", parts.port or 0), timeout=60, source_address=(address, 0)
        ) as connection:
            connection.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answers.append(connection.recv(65_536))
    assert not [answer for answer in answers[:3] if answer.startswith(b"HTTP/1.1 429 ")]
    assert answers[3].startswith(b"HTTP/1.1 429 ")
    assert b"retry-after" in answers[3]
    assert b'"code":-1003' in answers[3]


def test_58_nothing_but_the_api_is_outside(tight: str, exchange: Exchange) -> None:
    paths = ("/docs", "/openapi.json", "/redoc", "/metrics", "/debug", "/health/ready", "/admin/v1/accounts")
    with asking_from(fresh_address()) as http:
        for path in (*paths, "/account/v1/docs", "/account/v1/openapi.json", "/public/docs"):
            answer = http.get(tight + path)
            assert (answer.status_code, set(answer.json())) == (404, {"code", "msg"}), path
    inner = exchange.http.get(f"{exchange.admin}/public/docs")
    assert "cdn" not in inner.text
    for url in re.findall(r'(?:src|href)="([^"]+)"', inner.text):
        assert exchange.http.get(exchange.admin + url).status_code == 200


def test_every_row_is_a_test() -> None:
    here = {attack.row for attack in ATTACKS}
    here |= {int(row) for row in re.findall(r"^def test_(\d+)_", Path(__file__).read_text(), re.MULTILINE)}
    assert here | ELSEWHERE.keys() == set(range(1, LAST_ROW + 1))
    for row, place in ELSEWHERE.items():
        file, _, name = place.partition("::")
        assert f"def {name}(" in (REPOSITORY / "tests" / file).read_text(), row
