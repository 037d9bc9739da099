"""Connections of the WebSocket API: how one begins, its requests under way, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from ingest.http_exchange import Answer, Route, ok
from ingest.http_exchange import Request as HttpRequest
from ingest.settings import SocketSettings
from ingest.user_data.listen_keys import SHAPE
from ingest.ws_api.listener import Listener
from ingest.ws_api.session import Desk, Session
from schemas import public_errors as errors
from schemas.public_errors import PublicError
from schemas.public_wire import JSON_TYPE, NS_PER_MS
from schemas.time_unit import wants_microseconds
from service_runtime.socket_connection import ConnectionLimits, SocketConnection
from service_runtime.socket_frames import text_frame

PATH: Final = "/ws-api/v3"
LISTEN_PATH: Final = "/ws/"
CONNECT_WEIGHT: Final = 2
LOOK_EVERY_S: Final = 0.25


async def _nothing(request: HttpRequest) -> Answer:
    return ok(None)


SHUTDOWN = b'{"event":{"e":"serverShutdown","E":%d}}'
BARE_SHUTDOWN = b'{"e":"serverShutdown","E":%d}'
_CONNECT = Route(_nothing, CONNECT_WEIGHT)

ClientOf = Callable[[str, Iterable[tuple[bytes, bytes]]], str]
"""(peer, headers) -> whose connection it is."""


class SocketServer:
    """What all connections of a worker share."""

    def __init__(self, desk: Desk, settings: SocketSettings, client_of: ClientOf) -> None:
        self.desk = desk
        self.settings = settings
        self.limits = ConnectionLimits(
            settings.message_bytes,
            settings.fragments,
            settings.control_frames_per_s,
            settings.buffer_bytes,
            settings.ping_interval_s,
            settings.pong_timeout_s,
            settings.life_s,
        )
        self.client_of = client_of
        self.connections: set[Connection] = set()

    def protocol(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> Connection:
        """Make the protocol of a new connection; uvicorn calls it on an upgrade."""
        return Connection(self, server_state)

    async def watch(self) -> None:
        """Ping, cut the silent and the old, and end what rests on keys that are gone. Runs for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now, now_ns = loop.time(), self.desk.now_ns()
            for connection in list(self.connections):
                connection.look(now, now_ns)


class Connection(SocketConnection):
    def __init__(self, server: SocketServer, server_state: ServerState) -> None:
        super().__init__(server.limits, server_state)
        self._server = server
        self._address = ""
        self._session: Session | None = None
        self._listener: Listener | None = None
        self._expiring: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._paused = False
        self._draining = False

    # -- requests ---------------------------------------------------------------------------------

    def received(self, message: bytes) -> None:
        if self._session is None or self._draining:  # who listens has nothing to ask
            return
        task = self.loop.create_task(self._session.handle(message))
        self._tasks.add(task)
        task.add_done_callback(self._answered)
        if len(self._tasks) >= self._server.settings.requests_in_flight and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._paused and len(self._tasks) < self._server.settings.requests_in_flight:
            self._paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        if self._draining and not self._tasks:
            super().shutdown()

    def push(self, message: bytes) -> None:
        """Queue one message."""
        self.queue(text_frame(message))

    # -- begin and end ----------------------------------------------------------------------------

    def asked_to_open(self, request: Request) -> None:
        parts = urlsplit(request.path)
        path = parts.path.rstrip("/")
        listen_key = path.removeprefix(LISTEN_PATH)
        listens = path.startswith(LISTEN_PATH) and SHAPE.fullmatch(listen_key) is not None
        if not listens and path != PATH:
            self.refuse(_refused(errors.NOT_FOUND()))
            return
        peer = self.transport.get_extra_info("peername")
        named = [(name.lower().encode(), value.encode()) for name, value in request.headers.raw_items()]
        address = self._server.client_of(peer[0] if peer else "", named)
        query = parse_qs(parts.query)
        self._address = address
        admitting = self._admit_listener(request, listen_key) if listens else self._admit(request, query)
        task = self.loop.create_task(admitting)
        self._tasks.add(task)
        task.add_done_callback(self._answered)

    async def _admit_listener(self, request: Request, listen_key: str) -> None:
        """Count an attempt to listen, and answer it when the account is followed."""
        desk = self._server.desk
        listener = Listener(listen_key, desk.listen_keys, desk.streams, desk.now_ns)
        try:
            desk.limits.connect(self._address, desk.now_ns())
            await listener.begin(self.push, self.end_streams)
        except PublicError as refusal:
            self.refuse(_refused(refusal))
            return
        if not self.accept(request):
            listener.close()
            return
        self._listener = listener
        self._server.connections.add(self)
        listener.open()
        self._expiring = self.loop.create_task(self._end_when_expired(listener))

    async def _end_when_expired(self, listener: Listener) -> None:
        self.push(await listener.until_expired())
        self.close(CloseCode.NORMAL_CLOSURE, "listen key expired")

    async def _admit(self, request: Request, query: dict[str, list[str]]) -> None:
        """Count an attempt to connect and what it weighs, and answer it."""
        desk, address = self._server.desk, self._address
        asked = HttpRequest("GET", PATH, b"", b"", address, None, desk.now_ns())
        try:
            microseconds = wants_microseconds(query.get("timeUnit", ["MILLISECOND"])[0])
            desk.limits.connect(address, asked.received_ns)
            await desk.edge.serve(_CONNECT, asked)
        except PublicError as refusal:
            self.refuse(_refused(refusal))
            return
        if self.accept(request):
            rates = query.get("returnRateLimits", ["true"])[0].lower() != "false"
            self._session = Session(desk, address, self.push, self.end_streams, rates, microseconds)
            self._server.connections.add(self)

    def look(self, now: float, now_ns: int) -> None:
        self.keep_alive(now)
        if self._session is not None and self._session.rests_on_keys:
            self._session.check_keys(now_ns)
        listener, desk = self._listener, self._server.desk
        if listener is not None and not desk.key_is_good(listener.api_key, self._address, now_ns):
            self.push(listener.expired())
            self.close(CloseCode.NORMAL_CLOSURE, "listen key expired")

    def shutdown(self) -> None:
        """Take nothing more, and close when everything that was taken is answered."""
        said = SHUTDOWN if self._listener is None else BARE_SHUTDOWN
        self.push(said % (self._server.desk.now_ns() // NS_PER_MS))
        self._draining = True
        if not self._tasks:
            super().shutdown()

    def end_streams(self) -> None:
        """Close after user data was lost: a client that reconnects starts anew, and knows it."""
        self.close(CloseCode.SERVICE_RESTART, "user data stream lost")

    def left(self) -> None:
        session, self._session = self._session, None
        self._server.connections.discard(self)
        if session is not None:
            session.close()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        if self._expiring is not None:
            self._expiring.cancel()


def _refused(refusal: PublicError) -> Response:
    """Return the answer to a handshake, in the words of the REST side."""
    body = refusal.body()
    headers = Headers({"Content-Type": JSON_TYPE.decode(), "Content-Length": str(len(body))})
    headers["Connection"] = "close"
    for name, value in refusal.headers():
        headers[name.decode()] = value.decode()
    return Response(refusal.status, "Refused", headers, body)
