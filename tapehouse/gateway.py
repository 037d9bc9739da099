"""The one public port: ingest's routes in this process, market data's by forwarding.

Market REST requests go to market_data over kept-alive connections. A WebSocket under /ws or /stream is
spliced: once its first bytes say where it wants to go, bytes pass both ways unread, each side slowed to
the other's pace, and the end of one ends the other.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final
from urllib.parse import parse_qs, urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field
from yarl import URL

from ingest.app import run
from ingest.edge import Edge
from ingest.http_exchange import Answer, Request, Route
from ingest.http_server import PatientProtocol
from ingest.settings import IngestSettings
from schemas import public_errors as errors
from schemas.public_wire import JSON_TYPE
from service_runtime import telemetry

_REQUEST_TIMEOUT_S: Final = 10.0
_CONNECT_TIMEOUT_S: Final = 2.0
_HIGH_WATER: Final = 262_144
_DECIDED: Final = 80
"""Bytes after which the first line has said whether it is for the streams."""
_PASSED_ON: Final = ("content-type", "retry-after", "cache-control")
_STREAM_STARTS: Final = tuple(
    b"GET " + path + end for path in (b"/ws", b"/stream") for end in (b" ", b"/", b"?")
)
_LISTENS: Final = re.compile(rb"GET /ws/[A-Za-z0-9]{64}[ /?]")
"""User data by listen key is ingest's own, though it stands beside the streams."""
_AWAY: Final = errors.OVERLOADED(retry_after=errors.RETRY_AFTER_S)
_AWAY_RESPONSE: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json;charset=UTF-8\r\n"
    b"retry-after: 1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(_AWAY.body()), _AWAY.body())
)


class GatewayOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    market_data_url: str = "http://127.0.0.1:8090"
    connections: int = Field(64, ge=1, le=1024)
    """Most kept-alive connections to market_data."""


class GatewaySettings(IngestSettings):
    gateway: GatewayOptions = GatewayOptions()


class MarketRoutes:
    """Forwards market REST requests. The client session is made at the first one, on the loop."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = url.rstrip("/")
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    def routes(self) -> dict[tuple[str, str], Route]:
        prefix, forward = "/api/v3/", self.forward
        return {
            ("GET", prefix + "depth"): Route(forward, weigh=_depth_weight),
            ("GET", prefix + "trades"): Route(forward, 25),
            ("GET", prefix + "historicalTrades"): Route(forward, 25),
            ("GET", prefix + "aggTrades"): Route(forward, 4),
            ("GET", prefix + "klines"): Route(forward, 2),
            ("GET", prefix + "uiKlines"): Route(forward, 2),
            ("GET", prefix + "avgPrice"): Route(forward, 2),
            ("GET", prefix + "ticker"): Route(forward, weigh=_window_weight),
            ("GET", prefix + "ticker/tradingDay"): Route(forward, weigh=_window_weight),
            ("GET", prefix + "ticker/24hr"): Route(forward, weigh=_statistics_weight),
            ("GET", prefix + "ticker/price"): Route(forward, weigh=_ticker_weight),
            ("GET", prefix + "ticker/bookTicker"): Route(forward, weigh=_ticker_weight),
        }

    async def forward(self, request: Request) -> Answer:
        """Return market_data's answer as it is. Raises -1008 (503) when it is away."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                timeout=aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            return await self._ask(self._session, request)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.OVERLOADED(retry_after=errors.RETRY_AFTER_S) from error

    async def _ask(self, session: aiohttp.ClientSession, request: Request) -> Answer:
        target = URL(f"{self._url}{request.path}?{request.query.decode('latin-1')}", encoded=True)
        async with session.get(target, allow_redirects=False) as response:
            body = await response.read()
            passed = [
                (name.encode(), value.encode("latin-1"))
                for name in _PASSED_ON[1:]
                if (value := response.headers.get(name)) is not None
            ]
            content_type = response.headers.get("content-type", "").encode("latin-1") or JSON_TYPE
            return Answer(response.status, body, passed, content_type)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def _depth_weight(request: Request) -> int:
    given = parse_qs(request.query.decode("latin-1")).get("limit", ["100"])[0]
    limit = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 100
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250


def _names_asked(request: Request) -> int:
    return request.query.count(b",") + request.query.lower().count(b"%2c") + 1


def _window_weight(request: Request) -> int:
    return min(4 * _names_asked(request), 200)


def _statistics_weight(request: Request) -> int:
    if b"symbols=" in request.query:
        names = _names_asked(request)
        return 2 if names <= 20 else 40 if names <= 100 else 80
    return 2 if b"symbol=" in request.query else 80


def _ticker_weight(request: Request) -> int:
    return 2 if b"symbol=" in request.query else 4


def is_for_streams(first: bytes) -> bool:
    """Return whether what begins like this is for the market data server."""
    return first.startswith(_STREAM_STARTS) and _LISTENS.match(first) is None


def stream_protocol(market_data_url: str) -> type[PatientProtocol]:
    """Return the connection protocol that splices streams to the market data server."""
    parts = urlsplit(market_data_url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80

    class GatewayProtocol(PatientProtocol):
        """A connection that asks for a stream becomes a splice; until then it is HTTP.

        Clients that keep connections, as ccxt.pro does, ask for it on one that carried REST requests.
        """

        _first: bytes | None = b""
        _splice: _Splice | None = None

        def data_received(self, data: bytes) -> None:
            if self._splice is not None:
                self._splice.from_client(data)
                return
            if self._first is not None:
                first = self._first + data
                if len(first) < _DECIDED and b"\n" not in first:
                    if not self._first:
                        self.expect_soon()
                    self._first = first
                    return
                self._first, data = None, first
                if is_for_streams(first):
                    self._begin_splice(first)
                    return
            elif is_for_streams(data) and self._between_requests():
                self._begin_splice(data)
                return
            super().data_received(data)

        def _between_requests(self) -> bool:
            """Return whether this connection was kept alive and waits for what comes next."""
            return not self._receiving and (self.cycle is None or self.cycle.response_complete)

        def _begin_splice(self, first: bytes) -> None:
            self._stop_timer()
            self._unset_keepalive_if_required()
            if self._may_connect():
                self._splice = _Splice(self.transport, host, port, first)

        def _may_connect(self) -> bool:
            """Count the attempt; a client that makes too many is told, and cut."""
            edge = self.config.loaded_app
            assert isinstance(edge, Edge)
            try:
                edge.limits.connect(self.client[0] if self.client else "", time.time_ns())
            except errors.PublicError as refusal:
                self.transport.write(_refused(refusal))
                self.transport.close()
                return False
            return True

        def connection_lost(self, exc: Exception | None) -> None:
            if self._splice is not None:
                self._splice.client_lost()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            if self._splice is not None:
                self._splice.pause_upstream()
            else:
                super().pause_writing()

        def resume_writing(self) -> None:
            if self._splice is not None:
                self._splice.resume_upstream()
            else:
                super().resume_writing()

        def shutdown(self) -> None:
            if self._splice is not None:
                self.transport.close()
            else:
                super().shutdown()

    return GatewayProtocol


def _refused(refusal: errors.PublicError) -> bytes:
    """Return a whole response that refuses an upgrade."""
    body = refusal.body()
    phrase = {429: b"Too Many Requests", 418: b"Banned"}.get(refusal.status, b"Refused")
    headers = b"".join(b"%b: %b\r\n" % pair for pair in refusal.headers())
    return b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\n%bconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (
        refusal.status,
        phrase,
        JSON_TYPE,
        headers,
        len(body),
        body,
    )


class _Splice:
    """One client connection joined to one upstream connection."""

    def __init__(self, client: asyncio.Transport, host: str, port: int, first: bytes) -> None:
        self._client = client
        self._waiting: bytes | None = first
        self._upstream: asyncio.Transport | None = None
        self._closed = False
        client.set_write_buffer_limits(high=_HIGH_WATER)
        client.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._connect(host, port))

    async def _connect(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                upstream, _ = await loop.create_connection(lambda: _Upstream(self), host, port)
        except (OSError, TimeoutError):
            self._client.write(_AWAY_RESPONSE)
            self._client.close()
            return
        if self._closed:
            upstream.close()
            return
        self._upstream = upstream
        upstream.set_write_buffer_limits(high=_HIGH_WATER)
        first, self._waiting = self._waiting, None
        upstream.write(first or b"")
        self._client.resume_reading()

    def from_client(self, data: bytes) -> None:
        if self._upstream is not None:
            self._upstream.write(data)
        elif self._waiting is not None:  # already read when reading was paused
            self._waiting += data

    def to_client(self, data: bytes) -> None:
        self._client.write(data)

    def client_lost(self) -> None:
        self._closed = True
        if self._upstream is not None:
            self._upstream.close()

    def upstream_lost(self) -> None:
        self._client.close()

    def pause_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.pause_reading()

    def resume_upstream(self) -> None:
        if self._upstream is not None and not self._upstream.is_closing():
            self._upstream.resume_reading()

    def pause_client(self) -> None:
        self._client.pause_reading()

    def resume_client(self) -> None:
        if not self._client.is_closing():
            self._client.resume_reading()


class _Upstream(asyncio.Protocol):
    def __init__(self, splice: _Splice) -> None:
        self._splice = splice

    def data_received(self, data: bytes) -> None:
        self._splice.to_client(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._splice.upstream_lost()

    def pause_writing(self) -> None:
        self._splice.pause_client()

    def resume_writing(self) -> None:
        self._splice.resume_client()


def main() -> int:
    settings = GatewaySettings()
    telemetry.configure("gateway", settings.log_level)
    market = MarketRoutes(settings.gateway.market_data_url, settings.gateway.connections)
    protocol = stream_protocol(settings.gateway.market_data_url)
    return run(settings, protocol, market.routes(), market.close)


if __name__ == "__main__":
    raise SystemExit(main())
