"""Where the workers are told: one connection each, lines as in `link_words`, queues bounded."""

from __future__ import annotations

import asyncio
import hmac
from typing import Final, Protocol, cast

import structlog

from ingest.user_data.link_words import ALIVE, HEARTBEAT_S, Lines

_log = structlog.get_logger("user_data")
_HELLO_TIMEOUT_S: Final = 5.0


class Feed(Protocol):
    """What is asked of `account_feed.AccountFeed`."""

    def follow(self, account_id: int) -> None: ...

    def forget(self, account_id: int) -> None: ...


class FeedServer:
    """Who listens to which account. Every method is called on the loop."""

    def __init__(self, proof: bytes, buffer_bytes: int) -> None:
        self.proof = proof
        self.buffer_bytes = buffer_bytes
        self.feed: Feed | None = None
        self.workers: set[Worker] = set()
        self._waiting: dict[int, dict[Worker, int]] = {}
        self._told: dict[int, set[Worker]] = {}

    def protocol(self) -> Worker:
        return Worker(self)

    async def beat(self) -> None:
        """Tell every worker once a second that we are alive. Runs for ever."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            for worker in list(self.workers):
                worker.say(ALIVE)

    # -- from the workers -------------------------------------------------------------------------

    def wanted(self, worker: Worker, account_id: int, number: int) -> None:
        assert self.feed is not None
        self._waiting.setdefault(account_id, {})[worker] = number
        self.feed.follow(account_id)

    def unwanted(self, worker: Worker, account_id: int) -> None:
        assert self.feed is not None
        self._waiting.get(account_id, {}).pop(worker, None)
        self._told.get(account_id, set()).discard(worker)
        for listeners in (self._waiting, self._told):
            if not listeners.get(account_id, True):
                del listeners[account_id]
        if account_id not in self._waiting and account_id not in self._told:
            self.feed.forget(account_id)

    def left(self, worker: Worker) -> None:
        self.workers.discard(worker)
        for account_id in {*self._waiting, *self._told}:
            self.unwanted(worker, account_id)

    # -- from the feed ----------------------------------------------------------------------------

    def following(self, account_id: int) -> None:
        waiting = self._waiting.pop(account_id, {})
        self._told.setdefault(account_id, set()).update(waiting)
        for worker, number in waiting.items():
            worker.say(b"S %d %d\n" % (account_id, number))

    def event(self, account_id: int, body: bytes) -> None:
        line = b"E %d %b\n" % (account_id, body)
        for worker in self._told.get(account_id, ()):
            worker.say(line)

    def lost(self, account_id: int) -> None:
        workers = {*self._waiting.pop(account_id, ()), *self._told.pop(account_id, ())}
        for worker in workers:
            worker.say(b"X %d\n" % account_id)


class Worker(asyncio.Protocol):
    """One worker's connection. What is said in one turn of the loop leaves in one write."""

    def __init__(self, server: FeedServer) -> None:
        self._server = server
        self._lines = Lines()
        self._transport = cast(asyncio.Transport, None)
        self._known = False
        self._pending: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = self._loop.call_later(_HELLO_TIMEOUT_S, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._server.left(self)

    def data_received(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                self._take(line)
        except ValueError:
            _log.warning("worker not understood", action="disconnect")
            self._transport.abort()

    def _take(self, line: bytes) -> None:
        if not self._known:
            self._greet(line)
        elif line[:1] == b"+":
            account, _, number = line[1:].partition(b" ")
            self._server.wanted(self, int(account), int(number))
        elif line[:1] == b"-":
            self._server.unwanted(self, int(line[1:]))

    def _greet(self, line: bytes) -> None:
        if self._transport.is_closing():
            return
        if not hmac.compare_digest(line, b"H " + self._server.proof):
            _log.warning("a stranger was refused", action="disconnect")
            self._transport.abort()
            return
        self._known = True
        if self._timer is not None:
            self._timer.cancel()
        self._server.workers.add(self)
        self.say(ALIVE)

    def say(self, line: bytes) -> None:
        if not self._pending:
            self._loop.call_soon(self._flush)
        self._pending.append(line)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if self._transport.is_closing():
            return
        self._transport.write(b"".join(pending))
        waiting = self._transport.get_write_buffer_size()
        if waiting > self._server.buffer_bytes:
            _log.warning("slow worker cut", action="cut", unread_bytes=waiting)
            self._transport.abort()

    def close(self) -> None:
        self._flush()
        self._transport.close()
