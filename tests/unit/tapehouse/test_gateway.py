"""What the gateway weighs, and which connections it splices."""

from __future__ import annotations

import pytest

from ingest.http_exchange import Request
from tapehouse.gateway import MarketRoutes, is_for_streams

ROUTES = MarketRoutes("http://127.0.0.1:9", 1).routes()


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        ("depth", "symbol=BTCUSDT", 5),
        ("depth", "symbol=BTCUSDT&limit=500", 25),
        ("depth", "symbol=BTCUSDT&limit=1000", 50),
        ("depth", "limit=5000&symbol=BTCUSDT", 250),
        ("depth", "limit=%D9%A1", 5),
        ("depth", "limit=99999999999999999999999", 5),
        ("ticker/24hr", "", 80),
        ("ticker/24hr", "symbol=BTCUSDT", 2),
        ("ticker/24hr", "symbols=[%22A%22%2C%22B%22]", 2),
        ("ticker/24hr", "symbols=[" + ",".join(["%22A%22"] * 21) + "]", 40),
        ("ticker/price", "", 4),
        ("ticker/price", "symbol=BTCUSDT", 2),
        ("trades", "symbol=BTCUSDT", 25),
        ("klines", "symbol=BTCUSDT&interval=1m", 2),
    ],
)
def test_market_requests_have_their_documented_weight(path: str, query: str, weight: int) -> None:
    route = ROUTES["GET", f"/api/v3/{path}"]
    request = Request("GET", f"/api/v3/{path}", query.encode(), b"", "", None, 0)
    assert (route.weigh(request) if route.weigh else route.weight) == weight


@pytest.mark.parametrize(
    ("line", "spliced"),
    [
        (b"GET /ws HTTP/1.1\r\n", True),
        (b"GET /ws/btcusdt@trade HTTP/1.1\r\n", True),
        (b"GET /ws?timeUnit=MICROSECOND HTTP/1.1\r\n", True),
        (b"GET /stream?streams=a HTTP/1.1\r\n", True),
        (b"GET /ws/" + b"a" * 63 + b" HTTP/1.1\r\n", True),
        (b"GET /ws/" + b"aZ09" * 16 + b" HTTP/1.1\r\n", False),
        (b"GET /ws-api/v3 HTTP/1.1\r\n", False),
        (b"GET /streams HTTP/1.1\r\n", False),
        (b"POST /ws HTTP/1.1\r\n", False),
        (b"GET /api/v3/ping HTTP/1.1\r\n", False),
    ],
)
def test_only_streams_are_spliced(line: bytes, spliced: bool) -> None:
    assert is_for_streams(line) is spliced
