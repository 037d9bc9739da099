"""A worker's connection to the user data process. When it breaks, every stream that rests on it ends."""

from __future__ import annotations

import asyncio
import itertools
from typing import Final, NamedTuple, Protocol, cast

import structlog

from ingest.user_data.link_words import SILENCE_S, Lines
from schemas import public_errors as errors

_log = structlog.get_logger("user_data")
_FOLLOW_TIMEOUT_S: Final = 5.0
_CONNECT_TIMEOUT_S: Final = 2.0
_PAUSE_S: Final = 0.2


class Receiver(Protocol):
    """What is asked of `streams.UserStreams`."""

    def deliver(self, account_id: int, event: bytes) -> None: ...

    def lose(self, account_id: int | None = None) -> None: ...


class _Asked(NamedTuple):
    number: int
    answer: asyncio.Future[None]


class FeedLink(asyncio.Protocol):
    """Every method is called on the loop."""

    def __init__(self, host: str, port: int, proof: bytes, receiver: Receiver) -> None:
        self._address = (host, port)
        self._proof = proof
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None
        self._lines = Lines()
        self._heard = 0.0
        self._followed: set[int] = set()
        self._waiting: dict[int, _Asked] = {}
        self._numbers = itertools.count()
        self._connected = asyncio.Event()

    async def run(self) -> None:
        """Stay connected until canceled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                        await loop.create_connection(lambda: self, *self._address)
                except (OSError, TimeoutError):
                    await asyncio.sleep(_PAUSE_S)
                    continue
                while self._transport is not None:
                    await asyncio.sleep(_PAUSE_S)
                    if loop.time() - self._heard > SILENCE_S and self._transport is not None:
                        _log.warning("user data process silent", action="disconnect")
                        self._transport.abort()
        finally:
            if self._transport is not None:
                self._transport.close()

    async def follow(self, account_id: int) -> None:
        """Return when the account's events come. Raises -1008 (503)."""
        if account_id in self._followed:
            return
        try:
            async with asyncio.timeout(_FOLLOW_TIMEOUT_S):
                await self._connected.wait()
                await asyncio.shield(self._asked(account_id))
        except (TimeoutError, ConnectionError) as error:
            raise errors.OVERLOADED(retry_after=errors.RETRY_AFTER_S) from error

    def _asked(self, account_id: int) -> asyncio.Future[None]:
        asked = self._waiting.get(account_id)
        if asked is None:
            answer = asyncio.get_running_loop().create_future()
            answer.add_done_callback(lambda future: future.cancelled() or future.exception())
            asked = self._waiting[account_id] = _Asked(next(self._numbers), answer)
            self._say(b"+%d %d\n" % (account_id, asked.number))
        return asked.answer

    def forget(self, account_id: int) -> None:
        self._end(account_id, "no longer wanted")
        self._say(b"-%d\n" % account_id)

    def _say(self, line: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(line)

    # -- asyncio ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._lines = Lines()
        self._heard = asyncio.get_running_loop().time()
        self._say(b"H %b\n" % self._proof)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connected.clear()
        self._followed.clear()
        waiting, self._waiting = self._waiting, {}
        for _, answer in waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the user data process left"))
        self._receiver.lose()

    def data_received(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        try:
            lines = self._lines.feed(data)
        except ValueError:
            if self._transport is not None:
                self._transport.abort()
            return
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        kind = line[:2]
        if kind == b"E ":
            account, _, event = line[2:].partition(b" ")
            if int(account) in self._followed:
                self._receiver.deliver(int(account), event)
        elif kind == b"S ":
            self._confirmed(*map(int, line[2:].split()))
        elif kind == b"X ":
            self._end(int(line[2:]), "the account cannot be followed")
            self._receiver.lose(int(line[2:]))
        elif not self._connected.is_set():
            self._connected.set()
            _log.info("user data process answers")

    def _confirmed(self, account_id: int, number: int) -> None:
        asked = self._waiting.get(account_id)
        if asked is None or asked.number != number:
            return  # it was given up meanwhile
        del self._waiting[account_id]
        self._followed.add(account_id)
        if not asked.answer.done():
            asked.answer.set_result(None)

    def _end(self, account_id: int, why: str) -> None:
        self._followed.discard(account_id)
        asked = self._waiting.pop(account_id, None)
        if asked is not None and not asked.answer.done():
            asked.answer.set_exception(ConnectionError(why))
