"""Faults of readers: a client that hardly reads its streams, a recorder that stands still."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket
from contextlib import suppress
from typing import Final

import psutil

from tapehouse.chaos.field import Field, Violation
from tapehouse.chaos.sightings import View

CLIENTS: Final = 10
SLOW_S: Final = 12.0
MOST_GROWTH: Final = 256 * 1024 * 1024
_STREAMS: Final = "/".join(
    f"{symbol}@{kind}"
    for symbol in ("btcusdt", "ethusdt", "ethbtc", "solusdt")
    for kind in ("trade", "depth@100ms", "depth20@100ms", "bookTicker", "aggTrade")
)


async def slow_readers(field: Field) -> None:
    """Memory stays bounded, others go on, and what the recorder missed it makes up for."""
    market_data, recorder = field.one_of("market-data"), field.one_of("recorder")
    before = _resident(field, market_data)
    sockets = [_connect(field) for _ in range(CLIENTS)]
    field.arena.signal(recorder, signal.SIGSTOP)
    try:
        for _ in range(int(SLOW_S)):
            await asyncio.sleep(1.0)
            for each in sockets:
                with suppress(OSError):
                    each.recv(1)
        field.struck("slow readers", view=View.STREAM)
        field.struck("slow readers")
        await field.recovered()
        grown = _resident(field, market_data) - before
    finally:
        field.arena.signal(recorder, signal.SIGCONT)
        for each in sockets:
            each.close()
    if grown > MOST_GROWTH:
        raise Violation(f"{market_data} grew by {grown >> 20} MiB for readers that do not read")
    field.notes.append(f"{market_data} grew by {grown >> 20} MiB")
    field.struck("recorder thawed", view=View.TABLES)
    await field.recovered()


def _connect(field: Field) -> socket.socket:
    """Shake hands, and from then on take nothing but what `slow_readers` reads."""
    port = field.arena.settings.ports.api
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    found.settimeout(5.0)
    found.connect(("127.0.0.1", port))
    nonce = base64.b64encode(os.urandom(16)).decode()
    found.sendall(
        (
            f"GET /stream?streams={_STREAMS} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n\r\n"
        ).encode()
    )
    if b" 101 " not in found.recv(64):
        raise Violation("the streams refused a client")
    return found


def _resident(field: Field, name: str) -> int:
    pid = field.arena.pids().get(name)
    return 0 if pid is None else int(psutil.Process(pid).memory_info().rss)
