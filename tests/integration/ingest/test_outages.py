"""Kafka, Postgres, Redis or the processor away: refused before acceptance, unknown after it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.ingest.exchange import Exchange, Trader, Worker, frozen
from tests.waiting import until

pytestmark = pytest.mark.long
OVERLOADED = {
    "code": -1008,
    "msg": "Server is currently overloaded with other requests. Please try again in a few minutes.",
}


@pytest.fixture(scope="module")
def trader(exchange: Exchange) -> Trader:
    return exchange.trader(USDT="1000000")


@contextmanager
def at(worker: Worker, base: str, trader: Trader, wait: bool = True) -> Iterator[Trader]:
    """The trader at another gateway."""
    worker.start(wait)
    try:
        yield replace(trader, base=base)
    finally:
        assert worker.stop() == 0


def place(trader: Trader, price: str = "15000", **more: object) -> httpx.Response:
    return trader.limit("BUY", "0.001", price, **more)


def is_refused(answer: httpx.Response) -> bool:
    if answer.status_code != 503:
        return False
    assert (answer.json(), answer.headers["retry-after"]) == (OVERLOADED, "1")
    return True


class Forwarder:
    """A TCP forwarder that can be cut and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._cut = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        self._cut.set()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._cut.clear()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._cut.is_set():
                    client.close()
                    continue
                server = socket.create_connection(self._target)
                self._open |= {client, server}
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                target.sendall(piece)
        for connection in (source, target):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()


def test_without_redis_everything_goes_on(exchange: Exchange, trader: Trader) -> None:
    worker, base = exchange.gateway(8, TAPEHOUSE_REDIS__URL="redis://127.0.0.1:9/0")
    with at(worker, base, trader) as client:
        until(lambda: client.call("GET", "account").status_code == 200)
        for price in ("15001", "15002"):
            order_id = place(client, price).json()["orderId"]
            (row,) = client.call("GET", "openOrders", symbol="BTCUSDT").json()
            assert (row["orderId"], row["status"]) == (order_id, "NEW")
            assert client.call("GET", "order", symbol="BTCUSDT", orderId=order_id).json()["status"] == "NEW"
            assert client.call("DELETE", "order", symbol="BTCUSDT", orderId=order_id).status_code == 200
            assert client.call("GET", "openOrders").json() == []
            assert client.balances()["USDT"] == ("1000000.00000000", "0.00000000")


def test_without_postgres_orders_are_refused_until_it_is_back(exchange: Exchange, trader: Trader) -> None:
    parts = urlsplit(exchange.env["TAPEHOUSE_POSTGRES__DSN"])
    with ExitStack() as stack:
        forwarder = stack.enter_context(closing(Forwarder(parts.hostname or "", parts.port or 0)))
        dsn = parts._replace(netloc=f"{parts.netloc.rsplit(':', 1)[0]}:{forwarder.port}").geturl()
        worker, base = exchange.gateway(9, TAPEHOUSE_POSTGRES__DSN=dsn)
        client = stack.enter_context(at(worker, base, trader))
        until(lambda: client.call("GET", "account").status_code == 200)
        forwarder.cut()
        until(lambda: is_refused(place(client)))
        assert is_refused(client.call("GET", "account"))
        assert not worker.ready()
        assert exchange.http.get(f"{base}/api/v3/ping").json() == {}
        forwarder.mend()
        until(lambda: place(client).status_code == 200)
        until(lambda: client.call("GET", "account").status_code == 200)
        assert client.call("DELETE", "openOrders", symbol="BTCUSDT").status_code == 200


def test_without_kafka_orders_are_refused_until_it_is_back(exchange: Exchange, trader: Trader) -> None:
    _, broker = exchange.place.services.started["kafka"]
    worker, base = exchange.gateway(10, TAPEHOUSE_INGEST__REPLY_TIMEOUT_S="1")
    with at(worker, base, trader) as client:
        until(lambda: place(client).status_code == 200)
        with frozen(broker):
            until(lambda: is_refused(place(client)))
            assert client.call("GET", "account").status_code == 200
        until(lambda: place(client).status_code == 200)
        until(lambda: client.call("DELETE", "openOrders", symbol="BTCUSDT").status_code == 200)


def test_no_answer_is_an_unknown_outcome_and_its_id_finds_the_truth(
    exchange: Exchange, trader: Trader
) -> None:
    worker, base = exchange.gateway(11, TAPEHOUSE_INGEST__REPLY_TIMEOUT_S="1")
    with at(worker, base, trader) as client:
        until(lambda: client.call("GET", "account").status_code == 200)
        name = {"symbol": "BTCUSDT", "origClientOrderId": "late-1"}
        with frozen(exchange.processor):
            answer = place(client, newClientOrderId="late-1", recvWindow=60_000)
            assert (answer.status_code, answer.json()) == (
                504,
                {
                    "code": -1007,
                    "msg": "Timeout waiting for response from backend server. "
                    "Send status unknown; execution status unknown.",
                },
            )
            hasty = place(client, newClientOrderId="late-2", recvWindow=1)
            assert hasty.json()["code"] in (-1007, -1021)
            assert client.call("GET", "order", **name).json()["code"] == -2013
        until(lambda: client.call("GET", "order", **name).status_code == 200)
        assert place(client, newClientOrderId="late-1").json()["code"] == -2010
        (row,) = client.call("GET", "openOrders").json()
        assert row["clientOrderId"] == "late-1"  # what came too late for its window was not placed
        assert client.call("DELETE", "order", **name).status_code == 200


@pytest.mark.logs_errors("ingest stops on a fault")
def test_a_worker_without_a_reply_partition_does_not_start(exchange: Exchange) -> None:
    worker, _ = exchange.gateway(16)
    worker.start(wait=False)
    assert worker.process is not None
    assert worker.process.wait(60) == 1
    assert "order-replies has 16 partitions" in worker.log_file.read_text()


@pytest.mark.logs_errors("ingest cannot listen")
def test_a_taken_port_is_named(exchange: Exchange) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        worker, _ = exchange.gateway(12)
        worker.env["TAPEHOUSE_PORTS__API"] = str(port)
        worker.start(wait=False)
        assert worker.process is not None
        assert worker.process.wait(60) == 1
        assert str(port) in worker.log_file.read_text()
