"""uvicorn as we run it: uvloop, httptools, no access log, and a client that dawdles is cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from schemas import public_errors as errors
from schemas.public_wire import JSON_TYPE

_BACKLOG = 2048
REQUEST_TIMEOUT_S = 5.0
READING_TIMEOUT_S = 5.0
"""For a client to take something of what it asked for."""
MAX_HEAD_BYTES = 32_768
SILENCE_TIMEOUT_S = 30.0
"""For a new connection that has not sent a byte: some clients open them ahead."""


_MALFORMED = errors.INVALID_DATA("request").body()
_MALFORMED_RESPONSE = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: %b\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
    % (JSON_TYPE, len(_MALFORMED), _MALFORMED)
)


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request is not there in time, headers and body (slow loris), whose head
    does not end, or who does not read what it asked for.

    A request that comes whole in one piece costs no timer.
    """

    _timer: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _receiving = False
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(SILENCE_TIMEOUT_S, self._too_slow)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("")
                return
        super().data_received(data)
        if self._receiving and self._timer is None:
            self._timer = self.loop.call_later(REQUEST_TIMEOUT_S, self._too_slow)

    def on_message_begin(self) -> None:
        self._receiving = self._in_head = True
        self._head_bytes = 0
        self._stop_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._receiving = False
        self._stop_timer()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_stalled()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP in our words."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(_MALFORMED_RESPONSE)
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(READING_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_stalled()
        super().resume_writing()

    def _stop_stalled(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def expect_soon(self) -> None:
        """A request has begun: the rest of it is to be there soon."""
        self._stop_timer()
        self._timer = self.loop.call_later(REQUEST_TIMEOUT_S, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()


class QuietServer(uvicorn.Server):
    """A server whose owner handles the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def server(
    app: Any,
    keep_alive_s: int,
    protocol: type[asyncio.Protocol] = PatientProtocol,
    grace_s: int = 1,
    sockets: Callable[..., asyncio.Protocol] | None = None,
) -> QuietServer:
    """Return a server to be run with `serve(sockets=[...])` and stopped by `should_exit`.

    `sockets` makes the protocol of a connection that asked for a WebSocket; without it none is served.
    """
    config = uvicorn.Config(
        app,
        loop="none",
        http=protocol,
        ws=sockets or "none",  # type: ignore[arg-type]
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=grace_s,
    )
    return QuietServer(config)


def listen(host: str, port: int, shared: bool) -> socket.socket:
    """Return a listening socket; `shared` lets several processes listen on the port (SO_REUSEPORT).

    Raises OSError when the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"port {port} on {host}: {error.strerror}") from error
    return listener
