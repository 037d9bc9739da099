"""The one port: REST and streams, also on one connection."""

from __future__ import annotations

import base64
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import RunningExchange

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
}


@pytest.mark.parametrize("path", ["/ws/btcusdt@trade", "/stream?streams=btcusdt@trade"])
def test_a_stream_on_a_connection_that_carried_rest_before(
    running_exchange: RunningExchange, path: str
) -> None:
    connection = HTTPConnection(urlsplit(running_exchange.live.api_url).netloc, timeout=60)
    try:
        for _ in range(2):
            connection.request("GET", "/api/v3/ping")
            with connection.getresponse() as answer:
                assert (answer.status, answer.read()) == (200, b"{}")
        connection.request("GET", path, headers=UPGRADE)
        with connection.getresponse() as answer:
            assert (answer.status, answer.headers["Upgrade"].lower()) == (101, "websocket")
    finally:
        connection.close()
