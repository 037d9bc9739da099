"""One WebSocket connection of a server: handshake, frames, its bounded queue, pings, and its end.

An asyncio protocol that uvicorn hands an upgraded connection to. websockets' sans-I/O protocol does the
handshake, frames and closes; what is queued leaves in one write. Who serves something over it says what
to do with a handshake and with a message.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog
from uvicorn.server import ServerState
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

_log = structlog.get_logger("socket_connection")
CLOSE_TIMEOUT_S: Final = 1.0
"""For a client to answer a close; what it sends meanwhile is dropped."""
_CONTROL: Final = (Opcode.PING, Opcode.PONG)
_DATA: Final = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


@dataclass(frozen=True)
class ConnectionLimits:
    """What one connection may do."""

    message_bytes: int = 65_536
    fragments: int = 64
    control_frames_per_s: int = 5
    buffer_bytes: int = 4_194_304
    """A client that leaves more than this unread is cut."""
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 60.0
    life_s: float = 86_400.0


class PerSecond:
    """Counts what happens within one second of the loop's clock."""

    __slots__ = ("_count", "_second")

    def __init__(self) -> None:
        self._second = self._count = 0

    def over(self, now: float, limit: int) -> bool:
        """Count one more; return whether these are more than `limit`."""
        second = int(now)
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        return self._count > limit


class SocketConnection(asyncio.Protocol):
    """Every method is called on the loop. `queue` takes finished frames, from any place, and never raises."""

    def __init__(self, limits: ConnectionLimits, server_state: ServerState) -> None:
        self.limits = limits
        self.is_open = False
        """True from the accepted handshake until the end has begun: messages come and may be queued."""
        self._state = server_state
        self._conn = ServerProtocol(max_size=limits.message_bytes)
        self.loop = asyncio.get_running_loop()
        self.transport = cast(asyncio.Transport, None)
        self._accepted = False
        self._pending: list[bytes] = []
        self._fragments: list[bytes] = []
        self._controls = PerSecond()
        self._closing: asyncio.TimerHandle | None = None
        self.heard = self._born = self._pinged = self.loop.time()

    # -- what a server adds -----------------------------------------------------------------------

    def asked_to_open(self, request: Request) -> None:
        """Answer a handshake: `accept` or `refuse` it, at once or later."""
        raise NotImplementedError

    def received(self, message: bytes) -> None:
        """Take one whole message."""
        raise NotImplementedError

    def left(self) -> None:
        """Forget an accepted connection: it ends. Called once."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Say so and close; uvicorn calls it when the server stops."""
        self.close(CloseCode.GOING_AWAY, "server shutdown")

    def flush_soon(self) -> None:
        """See to it that `flush` is called; something was queued."""
        self.loop.call_soon(self.flush)

    def cut(self) -> None:
        """Hear that the client is cut because it does not read."""

    # -- asyncio ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._state.connections.add(cast(Any, self))

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(cast(Any, self))
        self._leave()
        if self._closing is not None:
            self._closing.cancel()

    def eof_received(self) -> None:
        self._conn.receive_eof()

    def data_received(self, data: bytes) -> None:
        self.heard = self.loop.time()
        self._conn.receive_data(data)
        for event in self._conn.events_received():
            if isinstance(event, Frame):
                self._frame(event)
            elif isinstance(event, Request):
                self.asked_to_open(event)
        self._write_protocol()

    # -- begin ------------------------------------------------------------------------------------

    def accept(self, request: Request) -> bool:
        """Answer a handshake; return whether the connection is open now."""
        self._conn.send_response(self._conn.accept(request))
        opened = self._conn.state is State.OPEN and not self.transport.is_closing()
        self.is_open = self._accepted = opened
        self._write_protocol()
        return self.is_open

    def refuse(self, response: Response) -> None:
        self._conn.send_response(response)
        self._write_protocol()

    # -- messages ---------------------------------------------------------------------------------

    def queue(self, frame: bytes) -> None:
        """Queue one frame. A client that does not read is cut when its queue is full."""
        if not self.is_open:
            return
        if not self._pending:
            self.flush_soon()
        self._pending.append(frame)

    def flush(self) -> None:
        """Write what is queued."""
        pending, self._pending = self._pending, []
        if not pending or self.transport.is_closing():
            return
        self.transport.write(pending[0] if len(pending) == 1 else b"".join(pending))
        waiting = self.transport.get_write_buffer_size()
        if waiting > self.limits.buffer_bytes and self.is_open:
            _log.warning("slow client cut", action="cut", unread_bytes=waiting)
            self.cut()
            self.close(CloseCode.POLICY_VIOLATION, f"too slow: {waiting} bytes unread")

    def _frame(self, frame: Frame) -> None:
        if not self.is_open:
            return
        limits = self.limits
        if frame.opcode in _CONTROL and self._controls.over(self.heard, limits.control_frames_per_s):
            self.close(CloseCode.POLICY_VIOLATION, "too many pings")
        if frame.opcode not in _DATA:
            return
        self._fragments.append(bytes(frame.data))
        if not frame.fin:
            if len(self._fragments) > limits.fragments:
                self.close(CloseCode.POLICY_VIOLATION, "too many fragments")
            return
        message, self._fragments = b"".join(self._fragments), []
        self.received(message)

    def keep_alive(self, now: float) -> None:
        """Ping, cut the silent and the old; to be called every second or oftener."""
        limits = self.limits
        if not self.is_open:
            return
        if now - self.heard > limits.pong_timeout_s:
            self.close(CloseCode.GOING_AWAY, "no pong")
        elif now - self._born > limits.life_s:
            self.shutdown()
        elif now - self._pinged >= limits.ping_interval_s:
            self._pinged = now
            self._conn.send_ping(b"%d" % int(now * 1000))
            self._write_protocol()

    # -- end --------------------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Send a close frame behind what is queued; give the client a little time to read and answer it."""
        self.flush()
        if self._conn.state is State.OPEN:
            self._conn.send_close(code, reason)
            if not self.transport.is_closing():
                self.transport.write(b"".join(self._conn.data_to_send()))
        self._leave()
        self._abort_later()

    def _write_protocol(self) -> None:
        pieces = self._conn.data_to_send()
        if pieces and not self.transport.is_closing():
            data = b"".join(pieces)
            if data:
                self.transport.write(data)
        if not self._conn.close_expected():
            return
        self._leave()
        if self._conn.close_rcvd is not None or not self._accepted:
            self.transport.close()
        self._abort_later()

    def _abort_later(self) -> None:
        if self._closing is None:
            self._closing = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)

    def _leave(self) -> None:
        was_open, self.is_open = self.is_open, False
        self._fragments.clear()
        self._pending.clear()
        if was_open:
            self.left()
