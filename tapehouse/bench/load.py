"""Orders leave when they are due (open loop), or when another is answered (closed loop)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Protocol

import orjson

from tapehouse.bench.order_plan import PlannedOrder
from tapehouse.bench.raw_http import Done
from tapehouse.bench.shots import Shot
from tapehouse.operator_client import TradingAccount
from tapehouse.public_client import sign

SHORTEST_SLEEP_S = 0.002
"""At high rates orders leave in small groups: a timer for each would cost more than the order."""
ANSWER_DEADLINE_S = 30.0
MOST_CONNECTIONS = 512
FIRST_CONNECTIONS = 16
WINDOW_MS = 60_000


class Pool(Protocol):
    """Connections that carry requests. `build` is called when one leaves."""

    def request(self, build: Callable[[], bytes], done: Done) -> None: ...

    async def open(self, count: int) -> None: ...

    async def close(self) -> None: ...


BuildOrder = Callable[[PlannedOrder, str, TradingAccount, int], bytes]
"""(order, client order id, account, milliseconds now) -> what its connection carries."""


class Load:
    """Sends planned orders to one address and keeps what comes back."""

    def __init__(
        self,
        pool: Pool,
        build: BuildOrder,
        accounts: Sequence[TradingAccount],
        run: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        self._pool = pool
        self._build = build
        self._accounts = accounts
        self._run = run
        self._number = 0
        self._open = 0
        self._all_answered = asyncio.Event()
        self.shots: list[Shot] = []

    async def constant(
        self,
        orders: Iterator[PlannedOrder],
        rate: float,
        seconds: float,
        warmup_s: float,
        on_measured: Callable[[], None],
    ) -> None:
        """Send at the rate, warm-up first; return when every answer has come, or the deadline has.

        `on_measured` is called when the first measured order is due.
        """
        clock = self._clock
        count, warm = int(rate * (warmup_s + seconds)), int(rate * warmup_s)
        started, sent, told = clock() + 0.05, 0, False
        while sent < count:
            due = min(int((clock() - started) * rate) + 1, count) if clock() >= started else 0
            if due >= warm and not told:
                on_measured()
                told = True
            for order in islice(orders, max(due - sent, 0)):
                self._shoot(order, started + sent / rate, measured=sent >= warm)
                sent += 1
            await asyncio.sleep(max(started + sent / rate - clock(), SHORTEST_SLEEP_S))
        await self.drain()

    async def in_turn(
        self,
        orders: Iterator[PlannedOrder],
        concurrency: int,
        seconds: float,
        warmup_s: float,
        on_measured: Callable[[], None],
    ) -> None:
        """Keep so many orders under way: each answer sends the next. Return when the last has come.

        Every order is due when it is sent: what waits for its turn here is not seen as late.
        `on_measured` is called before the first measured order is sent.
        """
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        measured_from = self._clock() + warmup_s
        end = measured_from + seconds
        turns, told = concurrency, False

        def again() -> None:
            loop.call_soon(send)  # a pool that fails at once would call itself

        def send() -> None:
            nonlocal turns, told
            now = self._clock()
            if now >= end:
                turns -= 1
                if not turns:
                    ended.set()
                return
            measured = now >= measured_from
            if measured and not told:
                told = True
                on_measured()
            self._shoot(next(orders), now, measured=measured, answered=again)

        for _ in range(concurrency):
            send()
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), warmup_s + seconds + ANSWER_DEADLINE_S)

    async def at_once(self, orders: Sequence[PlannedOrder]) -> None:
        """Send orders that are not measured, and wait for their answers."""
        for order in orders:
            self._shoot(order, self._clock(), measured=False)
        await self.drain()

    def _shoot(
        self,
        order: PlannedOrder,
        due_s: float,
        *,
        measured: bool,
        answered: Callable[[], object] | None = None,
    ) -> None:
        account = self._accounts[order.account]
        self._number += 1
        shot = Shot(order, f"{self._run}-{self._number}", account.account_id, due_s, measured)
        self.shots.append(shot)
        self._open += 1
        self._all_answered.clear()

        def build() -> bytes:
            shot.sent_s = self._clock()
            return self._build(order, shot.client_order_id, account, time.time_ns() // 1_000_000)

        def done(status: int, body: bytes) -> None:
            shot.answered_s = self._clock()
            shot.status, shot.body = status, body
            self._open -= 1
            if not self._open:
                self._all_answered.set()
            if answered is not None:
                answered()

        self._pool.request(build, done)

    async def drain(self) -> None:
        """Wait until every answer has come, or its deadline."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._all_answered.wait(), ANSWER_DEADLINE_S)


def order_request(
    host: str, order: PlannedOrder, client_order_id: str, account: TradingAccount, now_ms: int
) -> bytes:
    """Return the signed POST of one order."""
    text = _text(_terms(order, client_order_id).items())
    body = sign(account.secret.encode(), text, now_ms, WINDOW_MS).encode()
    return (
        b"POST /api/v3/order HTTP/1.1\r\nHost: "
        + host.encode()
        + b"\r\nX-MBX-APIKEY: "
        + account.api_key.encode()
        + b"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
        + str(len(body)).encode()
        + b"\r\n\r\n"
        + body
    )


def order_call(order: PlannedOrder, client_order_id: str, account: TradingAccount, now_ms: int) -> bytes:
    """Return the signed `order.place` of one order, without an id."""
    params: dict[str, Any] = {
        **_terms(order, client_order_id),
        "apiKey": account.api_key,
        "recvWindow": WINDOW_MS,
        "timestamp": now_ms,
    }
    text = _text(sorted(params.items()))
    params["signature"] = hmac.digest(account.secret.encode(), text.encode(), hashlib.sha256).hex()
    return orjson.dumps({"method": "order.place", "params": params})


def _terms(order: PlannedOrder, client_order_id: str) -> dict[str, str]:
    return {
        "symbol": order.symbol,
        "side": order.side.value,
        "type": "LIMIT",
        "timeInForce": order.time_in_force,
        "quantity": order.quantity,
        "price": order.price,
        "newClientOrderId": client_order_id,
        "newOrderRespType": "FULL",
    }


def _text(terms: Iterable[tuple[str, Any]]) -> str:
    return "&".join(f"{name}={value}" for name, value in terms)
