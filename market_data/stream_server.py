"""The WebSocket side of the server: subscriptions of each connection, and their fan-out.

Events bypass the protocol's machinery: they arrive as finished frames, are gathered while a batch is
handled, and leave in one write a client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from market_data import control_frames
from market_data.fanout import Hub
from market_data.metrics import MarketMetrics
from schemas.public_errors import PublicError
from schemas.time_unit import wants_microseconds
from service_runtime.socket_connection import ConnectionLimits, PerSecond, SocketConnection
from service_runtime.socket_frames import text_frame

SHUTDOWN = b'{"e":"serverShutdown","E":%d}'
SHUTDOWN_COMBINED = b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":%d}}'


@dataclass(frozen=True)
class StreamLimits:
    """What one connection may ask for; Binance's figures."""

    connection: ConnectionLimits
    messages_per_s: int = 5
    streams: int = 1024


@dataclass
class StreamServer:
    """What all connections share."""

    hub: Hub
    limits: StreamLimits
    metrics: MarketMetrics
    now_ms: Callable[[], int]
    clients: set[StreamClient] = field(default_factory=set)
    dirty: list[StreamClient] = field(default_factory=list)

    def protocol(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> StreamClient:
        """Make the protocol of a new connection; uvicorn calls it on an upgrade."""
        return StreamClient(self, server_state)

    def flush(self) -> None:
        """Write what was pushed since the last call."""
        dirty, self.dirty = self.dirty, []
        for client in dirty:
            client.flush()

    async def keep_alive(self) -> None:
        """Ping every client, cut silent ones and those that have lived their day. Runs for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(1.0, self.limits.connection.ping_interval_s / 4))
            now = loop.time()
            for client in list(self.clients):
                client.keep_alive(now)


class StreamClient(SocketConnection):
    """One connection and its subscriptions."""

    def __init__(self, server: StreamServer, server_state: ServerState) -> None:
        super().__init__(server.limits.connection, server_state)
        self._server = server
        self._names: dict[str, None] = {}
        self._requests = PerSecond()
        self.combined = self.microseconds = False

    # -- a connection -----------------------------------------------------------------------------

    def asked_to_open(self, request: Request) -> None:
        asked = stream_names(request.path)
        if asked is None:
            self.refuse(_refused(404, "Not found\n"))
            return
        names, combined = asked
        try:
            self.microseconds = wants_microseconds(time_unit(request.path))
        except PublicError as refusal:
            self.refuse(_refused(refusal.status, refusal.msg + "\n"))
            return
        if len(names) > self._server.limits.streams:
            self.refuse(_refused(400, "Too many streams\n"))
            return
        if not self.accept(request):
            return
        self._server.clients.add(self)
        self._server.metrics.clients.set(len(self._server.clients))
        self.combined = combined
        for name in names:
            self.subscribe(name)

    def received(self, message: bytes) -> None:
        limits = self._server.limits
        if self._requests.over(self.heard, limits.messages_per_s):
            self.close(CloseCode.POLICY_VIOLATION, "too many requests")
            return
        self.push(text_frame(control_frames.answer(message, self, limits.streams)))
        self._server.flush()

    def flush_soon(self) -> None:
        self._server.dirty.append(self)

    def cut(self) -> None:
        self._server.metrics.slow_clients_cut.inc()

    def shutdown(self) -> None:
        self.push(text_frame((SHUTDOWN_COMBINED if self.combined else SHUTDOWN) % self._server.now_ms()))
        super().shutdown()

    def left(self) -> None:
        for name in list(self._names):
            self.unsubscribe(name)
        self._server.clients.discard(self)
        self._server.metrics.clients.set(len(self._server.clients))

    # -- a subscriber, a session of control_frames ------------------------------------------------

    push = SocketConnection.queue

    @property
    def subscriptions(self) -> list[str]:
        return list(self._names)

    def subscribe(self, name: str) -> None:
        self._names[name] = None
        self._server.hub.subscribe(self, name)

    def unsubscribe(self, name: str) -> None:
        self._names.pop(name, None)
        self._server.hub.unsubscribe(self, name)


def time_unit(path: str) -> str:
    return parse_qs(urlsplit(path).query).get("timeUnit", ["MILLISECOND"])[0]


def _refused(status: int, text: str) -> Response:
    body = text.encode()
    headers = Headers({"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))})
    headers["Connection"] = "close"
    return Response(status, "Refused", headers, body)


def stream_names(path: str) -> tuple[list[str], bool] | None:
    """Return the streams a connection's path asks for and whether it is combined; None: no such path.

    Anything after `/ws/` is accepted: ccxt.pro puts a number there.
    """
    parts = urlsplit(path)
    place = unquote(parts.path).rstrip("/")
    if place == "/stream":
        asked = parse_qs(parts.query.replace("+", "%2B")).get("streams", [""])[0]
        return [name for name in asked.split("/") if name], True
    if place == "/ws" or place.startswith("/ws/"):
        return [name for name in place[4:].split("/") if name], False
    return None
