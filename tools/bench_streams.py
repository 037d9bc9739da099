"""Market streams under many clients: gaps, delay, memory and CPU of one stream server.

    python -m tools.bench_streams --clients 2000 [--seconds 30] [--runs 3] [--commands 50]

A broker, a database and a market data process of its own, which is bound to one core (--core). The matcher's
records are generated and written to the real log, as many commands a second as asked for, on one symbol;
every client listens to its depth@100ms, bookTicker and trade, checks that no event is missing, and notes
how late each came: a trade since its record was written (`T`), a depth event since its tick (`E`). One more
client never reads. Clients live in processes of their own (--processes) on the other cores. Each run prints
one line; the last line is the least, median and greatest of all runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import psutil
import uvloop

from schemas.topics import MATCHED_EVENTS
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.migrations import migrate
from service_runtime.settings import KafkaSettings
from tapehouse import topics
from tapehouse.local_stack import ports
from tests.services import embedded
from tests.unit.market_data.builders import Market

REPOSITORY: Final = Path(__file__).resolve().parents[1]
SYMBOL: Final = "btcusdt"
ASKED: Final = "/".join(f"{SYMBOL}@{name}" for name in ("depth@100ms", "bookTicker", "trade"))
UNREAD: Final = "/".join(
    f"{SYMBOL}@{name}"
    for name in (
        *("depth@100ms", "depth5@100ms", "depth10@100ms", "depth20@100ms", "depth5", "depth10", "depth20"),
        *("depth", "trade", "aggTrade", "bookTicker"),
    )
)
HANDSHAKE: Final = (
    "GET /ws/{names} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
UNREAD_LIMIT: Final = 262_144
"""What the one that does not read may leave before it is cut: little, that the benchmark need not be long."""
_DEAF_SEGMENT_BYTES: Final = 536
_CONNECTING_AT_ONCE: Final = 50
_LONGEST_MS: Final = 10_000
_START_S: Final = 120.0
_PONG: Final = b"\x8a\x80\x00\x00\x00\x00"


# -- clients, in processes of their own ----------------------------------------------------------------


@dataclass
class Seen:
    """What all clients of a process have received; an event is looked into once, whoever got it first."""

    counting: bool = False
    messages: int = 0
    gaps: int = 0
    lost: int = 0
    delays_ms: list[int] = field(default_factory=lambda: [0] * (_LONGEST_MS + 1))
    tickers: int = 0
    known: dict[bytes, tuple[int, int, int, int]] = field(default_factory=dict)

    def look(self, payload: bytes) -> tuple[int, int, int, int]:
        """Return the stream (0 depth, 1 bookTicker, 2 trade), first and last number, and the event's time.

        A bookTicker has neither number nor time of its own: all clients must get them in the same order.
        """
        found = self.known.get(payload)
        if found is None:
            event = json.loads(payload)
            kind = event.get("e")
            if kind == "depthUpdate":
                found = 0, event["U"], event["u"], event["E"]
            elif kind == "trade":
                found = 2, event["t"], event["t"], event["T"]
            else:
                self.tickers += 1
                found = 1, self.tickers, self.tickers, 0
            if len(self.known) > 20_000:
                for old in list(self.known)[:10_000]:
                    del self.known[old]
            self.known[payload] = found
        return found


class Listener(asyncio.Protocol):
    """One client: a WebSocket that reads only, in as little Python as possible."""

    def __init__(self, seen: Seen, opened: asyncio.Future[None]) -> None:
        self._seen = seen
        self._opened = opened
        self._rest = b""
        self._last = [0, 0, 0]
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(HANDSHAKE.format(names=ASKED).encode())

    def connection_lost(self, exc: Exception | None) -> None:
        if self._seen.counting:
            self._seen.lost += 1
        if not self._opened.done():
            self._opened.set_exception(exc or ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        if not self._opened.done():
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._rest = head
                return
            self._opened.set_result(None)
        now_ms = time.time_ns() // 1_000_000
        at, length = 0, len(data)
        while length - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
            elif size == 127:
                size, start = int.from_bytes(data[at + 2 : at + 10]), at + 10
            if start + size > length or start > length:
                break
            if data[at] == 0x81:
                self._event(data[start : start + size], now_ms)
            elif data[at] == 0x89:
                self._transport.write(_PONG)
            at = start + size
        self._rest = data[at:]

    def _event(self, payload: bytes, now_ms: int) -> None:
        seen = self._seen
        kind, first, last, at_ms = seen.look(payload)
        if seen.counting:
            seen.messages += 1
            if at_ms:
                seen.delays_ms[min(max(now_ms - at_ms, 0), _LONGEST_MS)] += 1
        if self._last[kind] and first != self._last[kind] + 1:
            seen.gaps += 1
        self._last[kind] = last


async def listen(port: int, clients: int) -> None:
    """Connect all, say `ready`; count from the first line on stdin to the second; print what was seen."""
    loop, seen = asyncio.get_running_loop(), Seen()
    gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)

    async def connect() -> None:
        async with gate:
            opened: asyncio.Future[None] = loop.create_future()
            await loop.create_connection(lambda: Listener(seen, opened), "127.0.0.1", port)
            await opened

    await asyncio.gather(*(connect() for _ in range(clients)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    seen.counting = True
    await asyncio.to_thread(sys.stdin.readline)
    seen.counting = False
    told = {"messages": seen.messages, "gaps": seen.gaps, "lost": seen.lost, "delays_ms": seen.delays_ms}
    print(json.dumps(told), flush=True)


# -- the server and its log ----------------------------------------------------------------------------


class Tape(threading.Thread):
    """Writes the records of one symbol to the log, at an even pace."""

    def __init__(self, bootstrap: str, commands_per_s: float) -> None:
        super().__init__(daemon=True)
        self._log = KafkaEventLog(KafkaSettings(bootstrap_servers=bootstrap), "bench-streams")
        self._pause_s = 1 / commands_per_s
        self._market = Market(SYMBOL.upper())
        self._random = random.Random(1)
        self._ended = threading.Event()

    def run(self) -> None:
        market, due = self._market, time.monotonic()
        while not self._ended.wait(max(due - time.monotonic(), 0)):
            due += self._pause_s
            market.now_ms = time.time_ns() // 1_000_000
            market.random_command(self._random)
            for data in market.records:
                self._log.append(MATCHED_EVENTS, market.partition, data, market.symbol.encode())
            self._log.flush()
            market.records.clear()
            market.trades.clear()

    def stop(self) -> None:
        self._ended.set()
        self.join()
        self._log.close()


@dataclass
class Server:
    process: psutil.Process
    port: int
    health: str

    def cut(self) -> int:
        text = httpx.get(f"{self.health}/metrics").text
        rows = [line for line in text.splitlines() if line.startswith("tapehouse_stream_clients_cut_total")]
        return int(float(rows[0].split()[-1]))

    def cpu_s(self) -> float:
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def memory(self) -> int:
        return int(self.process.memory_info().rss)


@contextmanager
def server(options: argparse.Namespace) -> Iterator[Server]:
    """A market data process on one core, with a log that grows."""
    with embedded() as services, tempfile.TemporaryDirectory(prefix="tapehouse-bench-") as folder:
        dsn, bootstrap, url = services.postgres(), services.kafka(), services.valkey()
        migrate(dsn, REPOSITORY / "recorder" / "migrations")
        topics.apply(bootstrap)
        port, health = ports.free_ports(2)
        settings = {
            "TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "TAPEHOUSE_POSTGRES__DSN": dsn,
            "TAPEHOUSE_REDIS__URL": url,
            "TAPEHOUSE_HEALTH_PORT": str(health),
            "TAPEHOUSE_MARKET_DATA__PORT": str(port),
            "TAPEHOUSE_MARKET_DATA__CLIENT_BUFFER_BYTES": str(UNREAD_LIMIT),
        }
        tape = Tape(bootstrap, options.commands)
        with (Path(folder) / "market_data.log").open("wb") as output:
            popen = subprocess.Popen(
                [sys.executable, "-m", "market_data"],
                cwd=REPOSITORY,
                env={**os.environ, **settings},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running = Server(psutil.Process(popen.pid), port, f"http://127.0.0.1:{health}")
        try:
            await_ready(running, popen)
            running.process.cpu_affinity([options.core])
            tape.start()
            yield running
        finally:
            if tape.is_alive():
                tape.stop()
            popen.terminate()
            popen.wait(30)


def await_ready(running: Server, popen: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            if httpx.get(f"{running.health}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if popen.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("market data did not start")
        time.sleep(0.05)


# -- one run -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    messages_per_s: float
    gaps: int
    lost: int
    p50_ms: int
    p99_ms: int
    max_ms: int
    kib_a_client: float
    cpu_percent: float
    cut_after_s: float | None
    load: float

    def line(self) -> str:
        cut = "not cut" if self.cut_after_s is None else f"cut after {self.cut_after_s:.0f} s"
        return (
            f"{self.messages_per_s:.0f} messages/s, {self.gaps} gaps, {self.lost} connections lost, "
            f"delay p50 {self.p50_ms} p99 {self.p99_ms} max {self.max_ms} ms, "
            f"{self.kib_a_client:.1f} KiB a client, server CPU {self.cpu_percent:.0f} % of its core; "
            f"the one that does not read: {cut}; load {self.load:.1f}"
        )


def run(target: Server, options: argparse.Namespace) -> Run:
    """Connect, let half a second pass for each thousand clients, and count."""
    cut_before, memory_before = target.cut(), target.memory()
    crowds = [crowd(target.port, part, options.core) for part in parts(options.clients, options.processes)]
    deaf = connect_deaf(target.port)
    try:
        for process in crowds:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise SystemExit("the clients could not connect")
        connected, cpu_before = time.monotonic(), target.cpu_s()
        tell(crowds)
        cut_after = None
        memory = 0
        while (passed := time.monotonic() - connected) < options.seconds:
            time.sleep(0.5)
            memory = max(memory, target.memory())
            if cut_after is None and target.cut() > cut_before:
                cut_after = passed
        took, used = time.monotonic() - connected, target.cpu_s() - cpu_before
        tell(crowds)
        told = [json.loads(process.communicate(timeout=60)[0]) for process in crowds]
    finally:
        deaf.close()
        for process in crowds:
            process.kill()
            process.wait()
    delays = [sum(counts) for counts in zip(*(one["delays_ms"] for one in told), strict=True)]
    return Run(
        messages_per_s=sum(one["messages"] for one in told) / took,
        gaps=sum(one["gaps"] for one in told),
        lost=sum(one["lost"] for one in told),
        p50_ms=quantile(delays, 0.5),
        p99_ms=quantile(delays, 0.99),
        max_ms=quantile(delays, 1.0),
        kib_a_client=(memory - memory_before) / 1024 / options.clients,
        cpu_percent=100 * used / took,
        cut_after_s=cut_after,
        load=os.getloadavg()[0],
    )


def parts(whole: int, count: int) -> list[int]:
    return [whole // count + (number < whole % count) for number in range(count)]


def crowd(port: int, clients: int, core: int) -> subprocess.Popen[str]:
    """Start a process of clients, on the cores that the server leaves."""
    words = [sys.executable, "-m", "tools.bench_streams", "--crowd", str(port), "--clients", str(clients)]
    process = subprocess.Popen(
        words, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    others = [number for number in range(os.cpu_count() or 1) if number != core]
    if others:
        psutil.Process(process.pid).cpu_affinity(others)
    return process


def tell(crowds: list[subprocess.Popen[str]]) -> None:
    for process in crowds:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def connect_deaf(port: int) -> socket.socket:
    """Ask for much and never read.

    The kernel alone would hold 3 MiB for it: little room here (set before the connection is made) leaves its
    part about 4 KiB, and small segments, of which the server's kernel counts what it may hold, the other's
    about 140 KiB. What exceeds that the server has to hold itself, and does not for long.
    """
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _DEAF_SEGMENT_BYTES)
    deaf.connect(("127.0.0.1", port))
    deaf.sendall(HANDSHAKE.format(names=UNREAD).encode())
    return deaf


def quantile(counts: list[int], part: float) -> int:
    wanted, passed = part * sum(counts), 0
    for value, count in enumerate(counts):
        passed += count
        if passed >= wanted and passed:
            return value
    return 0


def spread(values: list[float]) -> str:
    return f"{min(values):.0f} / {median(values):.0f} / {max(values):.0f}"


def main() -> int:
    """Return 0 when nothing was lost, nobody but the deaf one was cut, and it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=2_000)
    parser.add_argument("--processes", type=int, default=1, help="of clients")
    parser.add_argument("--seconds", type=float, default=60.0, help="of one run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--commands", type=float, default=50.0, help="a second, on the symbol")
    parser.add_argument("--core", type=int, default=0, help="the server's")
    parser.add_argument("--crowd", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.crowd is not None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(listen(options.crowd, options.clients))
        return 0
    done: list[Run] = []
    for number in range(options.runs):
        with server(options) as target:
            done.append(run(target, options))
        print(f"run {number + 1}: {options.clients} clients, {done[-1].line()}", flush=True)
    print(
        f"least / median / greatest of {len(done)}: p99 {spread([r.p99_ms for r in done])} ms, "
        f"{spread([r.kib_a_client for r in done])} KiB a client, "
        f"CPU {spread([r.cpu_percent for r in done])} %, {sum(r.gaps for r in done)} gaps"
    )
    good = all(not r.gaps and not r.lost and r.cut_after_s is not None for r in done)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
