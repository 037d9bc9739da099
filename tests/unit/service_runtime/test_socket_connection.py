"""A connection on a real loop, its transport held in the hand."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.uri import parse_uri

from service_runtime.socket_connection import ConnectionLimits, SocketConnection
from service_runtime.socket_frames import text_frame


class Wire(asyncio.Transport):
    """What was written, and how much of it the client has left unread."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unread = 0
        self.closed = False
        self.aborted = asyncio.Event()

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closed or self.aborted.is_set()

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted.set()


class Echo(SocketConnection):
    ends = 0
    cuts = 0

    def asked_to_open(self, request: Request) -> None:
        self.accept(request)

    def received(self, message: bytes) -> None:
        self.queue(text_frame(message))

    def left(self) -> None:
        self.ends += 1

    def cut(self) -> None:
        self.cuts += 1


class Pair:
    """A connection and the client's half of the protocol."""

    def __init__(self, **limits: Any) -> None:
        self.wire = Wire()
        self.server = Echo(ConnectionLimits(**limits), ServerState())
        self.server.connection_made(self.wire)
        self.client = ClientProtocol(parse_uri("ws://127.0.0.1/"))
        self.client.send_request(self.client.connect())
        self.exchange()
        assert self.server.is_open

    def exchange(self) -> list[Frame]:
        """Carry bytes both ways; return the frames that the client got."""
        self.server.flush()
        for piece in self.client.data_to_send():
            if piece:
                self.server.data_received(piece)
        self.server.flush()
        told, self.wire.written = self.wire.written, b""
        self.client.receive_data(told)
        events = self.client.events_received()
        return [cast(Frame, event) for event in events if not isinstance(event, Response)]


async def test_messages_come_whole_and_answers_leave_together() -> None:
    pair = Pair()
    pair.client.send_text(b"one", fin=False)
    pair.client.send_continuation(b" and a half", fin=True)
    pair.client.send_binary(b"two")
    assert [frame.data for frame in pair.exchange()] == [b"one and a half", b"two"]


async def test_who_does_not_read_is_cut_and_nothing_more_is_queued() -> None:
    pair = Pair(buffer_bytes=1_000)
    pair.wire.unread = 1_001
    pair.client.send_text(b"x")
    frames = pair.exchange()
    assert [frame.opcode for frame in frames] == [Opcode.TEXT, Opcode.CLOSE]
    assert (pair.server.cuts, pair.server.ends, pair.server.is_open) == (1, 1, False)
    pair.server.queue(text_frame(b"late"))
    assert pair.exchange() == []


@pytest.mark.parametrize("limits", [{"control_frames_per_s": 2}, {"fragments": 2}, {"message_bytes": 2}])
async def test_too_much_of_anything_ends_the_connection(limits: dict[str, int]) -> None:
    pair = Pair(**limits)
    pair.server.heard = 0
    pair.client.send_text(b"abc", fin=False)
    for _ in range(3):
        pair.client.send_ping(b"")
        pair.client.send_continuation(b"", fin=False)
    pair.exchange()
    assert not pair.server.is_open
    assert pair.client.close_rcvd is not None
    assert pair.client.close_rcvd.code in (CloseCode.POLICY_VIOLATION, CloseCode.MESSAGE_TOO_BIG)


async def test_the_silent_are_pinged_and_then_closed() -> None:
    pair = Pair(ping_interval_s=20.0, pong_timeout_s=60.0)
    now = pair.server.heard
    pair.server.keep_alive(now + 19)
    assert pair.exchange() == []
    pair.server.keep_alive(now + 20)
    assert [frame.opcode for frame in pair.exchange()] == [Opcode.PING]
    pair.server.keep_alive(pair.server.heard + 61)
    assert not pair.server.is_open
    assert [frame.opcode for frame in pair.exchange()][-1] is Opcode.CLOSE
    assert pair.client.close_rcvd is not None
    assert pair.client.close_rcvd.code == CloseCode.GOING_AWAY


async def test_a_day_is_the_longest_life() -> None:
    pair = Pair(life_s=30.0, ping_interval_s=100.0)
    pair.server.keep_alive(pair.server.heard + 31)
    assert pair.exchange()[-1].opcode is Opcode.CLOSE


async def test_a_close_is_answered_and_the_end_is_told_once() -> None:
    pair = Pair()
    pair.client.send_close(1000, "")
    pair.exchange()
    assert (pair.wire.closed, pair.server.ends) == (True, 1)
    pair.server.connection_lost(None)
    assert pair.server.ends == 1


async def test_a_client_that_does_not_answer_a_close_is_dropped() -> None:
    pair = Pair()
    pair.server.shutdown()
    assert not pair.wire.is_closing()
    await asyncio.wait_for(pair.wire.aborted.wait(), 60)
