"""Canaries: secrets that requests carry show up nowhere: logs, topics, tables, Redis, metrics, arguments."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import psycopg
import pyotp
import pytest
import redis
import websockets.sync.client
from confluent_kafka import Consumer, TopicPartition

from tests.integration.ingest.exchange import Exchange, Trader
from tests.integration.ingest.socket_client import connected
from tests.waiting import until

pytestmark = pytest.mark.long
LOGIN = "canary@example.com"
PASSWORD = "canary-password-0b1c2d3e4f"


@pytest.fixture(scope="module")
def canaries(exchange: Exchange) -> dict[str, str]:
    """Use every kind of secret, rightly and wrongly; return each by its name."""
    http, base = exchange.http, exchange.base

    def account(method: str, path: str, body: Any = None, token: str = "") -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = http.request(method, f"{base}/account/v1{path}", json=body, headers=headers)
        assert answer.status_code < 500, answer.text
        return answer.json()

    credentials = {"login": LOGIN, "password": PASSWORD}
    registered = account("POST", "/users", credentials)
    tokens = account("POST", "/sessions", credentials)
    token = tokens["access_token"]
    proposed = account("POST", "/user/totp", {"password": PASSWORD}, token)
    key = account("POST", "/api-keys", {"label": "canary"}, token)
    trader = Trader(base, key["api_key"], key["secret"], registered["account_id"], http)
    until(lambda: trader.call("GET", "account").status_code == 200)
    text = trader.sign({"symbol": "BTCUSDT", "timestamp": int(time.time() * 1000)})
    terms = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01", "price": "20000"}
    assert trader.call("POST", "order", symbol="BTCUSDT", **terms).json()["code"] == -2010  # nothing to pay
    misplaced = [
        trader.send("GET", "openOrders", text),
        trader.call("POST", "order", symbol=key["secret"], **terms),
        trader.call("POST", "order", symbol="BTCUSDT", password=PASSWORD, **terms),
        http.get(f"{base}/api/v3/{key['secret']}"),
        http.get(f"{base}/account/v1/{key['secret']}", headers={"Authorization": f"Bearer {token}x"}),
        http.post(f"{base}/account/v1/sessions", json={**credentials, "password": PASSWORD + "x"}),
        http.post(f"{base}/account/v1/sessions", json={**credentials, "code": PASSWORD}),
        http.post(f"{base}/account/v1/sessions", content=PASSWORD.encode()),
    ]
    renewed = account("POST", "/sessions/renewal", {"refresh_token": tokens["refresh_token"]})
    again = account("POST", "/sessions/renewal", {"refresh_token": tokens["refresh_token"]})
    assert again["code"] == "token_invalid"
    listen_key = trader.send("POST", "userDataStream", "").json()["listenKey"]
    misplaced += [
        trader.send("PUT", "userDataStream", f"listenKey={listen_key[::-1]}"),
        trader.send("GET", "openOrders", f"listenKey={listen_key}"),
        http.get(f"{base}/ws/{listen_key}"),
    ]
    misplaced_messages = by_socket(trader, listen_key)
    codes = pyotp.TOTP(proposed["secret"])
    with_code = code_signed_in(account, codes, tokens_of=credentials)
    secrets = {
        "password": PASSWORD,
        "api secret": key["secret"],
        "signature": text[-64:],
        "access token": token,
        "refresh token": tokens["refresh_token"],
        "newer refresh token": renewed["refresh_token"],
        "totp secret": proposed["secret"],
        "access token by code": with_code["access_token"],
        "refresh token by code": with_code["refresh_token"],
        "listen key": listen_key,
        "master key": (exchange.folder / "master-key").read_text(),
        "token key": (exchange.folder / "token-key").read_text(),
        "operator's token": (exchange.folder / "operator-token").read_text(),
    }
    for answer in misplaced:
        for secret in secrets.values():
            assert secret not in answer.text
            assert secret not in str(answer.headers)
    for name, secret in secrets.items():
        assert secret not in misplaced_messages, name
    return secrets


def by_socket(trader: Trader, listen_key: str) -> str:
    """Use secrets on WebSockets, and put them where they do not belong; return what was answered to that."""
    with connected(trader.base, trader) as socket:
        assert socket.signed("account.status")["status"] == 200
        told = [
            socket.ask("session.logon", **{**socket.sign({}), "signature": trader.secret}),
            socket.signed("order.status", symbol=trader.secret, orderId=1),
            socket.ask(trader.secret),
            socket.ask("userDataStream.ping", apiKey=trader.api_key, listenKey=listen_key),
        ]
    address = trader.base.replace("http", "ws", 1)
    with websockets.sync.client.connect(f"{address}/ws/{listen_key}", compression=None) as stream:
        stream.send(json.dumps({"method": trader.secret, "params": [listen_key], "id": 1}))  # not answered
    return json.dumps(told)


def code_signed_in(account: Any, codes: pyotp.TOTP, tokens_of: dict[str, str]) -> dict[str, str]:
    """Confirm the authenticator and sign in with its next code; return the tokens."""
    token = account("POST", "/sessions", tokens_of)["access_token"]
    step = int(time.time())
    assert "code" not in account("POST", "/user/totp/confirmation", {"code": codes.at(step)}, token)
    later = max(int(time.time()), step + codes.interval)
    told = account("POST", "/sessions", {**tokens_of, "code": codes.at(later)})
    assert told.keys() >= {"access_token", "refresh_token"}, told
    return dict(told)


def absent(canaries: dict[str, str], text: bytes, where: str) -> None:
    found = [name for name, secret in canaries.items() if secret.encode() in text]
    assert not found, f"{where} shows {found}"


def test_logs_show_no_secret_and_a_line_is_one_event(exchange: Exchange, canaries: dict[str, str]) -> None:
    for worker in exchange.workers:
        text = worker.log_file.read_bytes()
        absent(canaries, text, worker.log_file.name)
        for line in text.splitlines():
            if line.startswith(b"{"):
                json.loads(line)


def test_topics_show_no_secret(exchange: Exchange, canaries: dict[str, str]) -> None:
    seen = set()
    for topic, value in records(exchange.env["TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS"]):
        absent(canaries, value, topic)
        if LOGIN.encode() in value:
            seen.add(topic)
    assert seen == {"account-events"}  # so the search finds what there is


def records(bootstrap: str) -> Iterator[tuple[str, bytes]]:
    """Every record of every topic, its key, value and headers in one."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "canary", "enable.partition.eof": True,
         "auto.offset.reset": "earliest"}
    )  # fmt: skip
    try:
        topics = consumer.list_topics(timeout=60).topics
        places = [
            TopicPartition(name, number, 0)
            for name, topic in topics.items()
            if not name.startswith("__")
            for number in topic.partitions
        ]
        consumer.assign(places)
        ended = 0
        while ended < len(places):
            for message in consumer.consume(500, 1.0):
                if message.error() is not None:
                    ended += 1
                else:
                    headers = b"".join(value or b"" for _, value in message.headers() or [])
                    yield message.topic() or "", (message.key() or b"") + (message.value() or b"") + headers
    finally:
        consumer.close()


def test_tables_show_no_secret(exchange: Exchange, canaries: dict[str, str]) -> None:
    with psycopg.connect(exchange.env["TAPEHOUSE_POSTGRES__DSN"]) as connection:
        names = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        seen = set()
        for (name,) in names:
            with connection.cursor().copy(f"COPY {name} TO STDOUT (FORMAT binary)".encode()) as copy:
                text = b"".join(bytes(piece) for piece in copy)
            absent(canaries, text, name)
            if LOGIN.encode() in text:
                seen.add(name)
    assert seen == {"accounts", "users"}


def test_redis_shows_no_secret(exchange: Exchange, canaries: dict[str, str]) -> None:
    """But the listen key, which has no other place and is good for nothing but to hear for an hour."""
    others = {name: secret for name, secret in canaries.items() if name != "listen key"}
    with redis.Redis.from_url(exchange.env["TAPEHOUSE_REDIS__URL"]) as client:
        for key in client.scan_iter(count=1000):
            absent(others, key, "a key of Redis")
            absent(others, client.dump(key) or b"", str(key))


def test_metrics_and_arguments_show_no_secret(exchange: Exchange, canaries: dict[str, str]) -> None:
    for worker in exchange.workers:
        if worker.process is None or worker.process.poll() is not None:
            continue
        for path in ("metrics", "health/live"):
            answer = httpx.get(f"http://127.0.0.1:{worker.health_port}/{path}")
            absent(canaries, answer.content, f"{worker.module} {path}")
        arguments = psutil.Process(worker.process.pid).cmdline()
        absent(canaries, "\0".join(arguments).encode(), f"arguments of {worker.module}")
