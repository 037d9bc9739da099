"""Worker and user data process over a real connection: who is let in, who hears what, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from ingest.user_data.feed_link import FeedLink
from ingest.user_data.feed_server import FeedServer
from ingest.user_data.link_words import MAX_LINE, Lines, proof
from schemas.public_errors import PublicError

MASTER = "m" * 32
DEADLINE_S = 10.0


class Accounts:
    """A feed that follows every account at once, but 13 never and 14 when the test says so."""

    def __init__(self, server: FeedServer) -> None:
        self.server = server
        self.asked: list[int] = []
        self.forgotten: list[int] = []

    def follow(self, account_id: int) -> None:
        self.asked.append(account_id)
        if account_id == 13:
            self.server.lost(account_id)
        elif account_id != 14:
            self.server.following(account_id)

    def forget(self, account_id: int) -> None:
        self.forgotten.append(account_id)


class Heard:
    def __init__(self) -> None:
        self.events: list[tuple[int, bytes]] = []
        self.losses: list[int | None] = []

    def deliver(self, account_id: int, event: bytes) -> None:
        self.events.append((account_id, event))

    def lose(self, account_id: int | None = None) -> None:
        self.losses.append(account_id)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


@asynccontextmanager
async def serving(buffer_bytes: int = 1_000_000) -> AsyncIterator[tuple[FeedServer, Accounts, int]]:
    server = FeedServer(proof(MASTER), buffer_bytes)
    server.feed = accounts = Accounts(server)
    listening = await asyncio.get_running_loop().create_server(server.protocol, "127.0.0.1", 0)
    try:
        yield server, accounts, listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for worker in list(server.workers):
            worker.close()


@asynccontextmanager
async def linked(port: int, master: str = MASTER) -> AsyncIterator[tuple[FeedLink, Heard]]:
    heard = Heard()
    link = FeedLink("127.0.0.1", port, proof(master), heard)
    running = asyncio.create_task(link.run())
    try:
        yield link, heard
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_each_worker_hears_of_the_accounts_it_asked_for() -> None:
    async with (
        serving() as (server, accounts, port),
        linked(port) as (one, first),
        linked(port) as (two, second),
    ):
        await one.follow(7)
        await two.follow(7)
        await two.follow(8)
        server.event(7, b'{"n":1}')
        server.event(8, b'{"n":2}')
        server.event(9, b'{"n":3}')
        await until(lambda: len(second.events) == 2)
        assert first.events == [(7, b'{"n":1}')]
        assert second.events == [(7, b'{"n":1}'), (8, b'{"n":2}')]
        one.forget(7)
        two.forget(8)
        await until(lambda: accounts.forgotten == [8])
        server.event(7, b'{"n":4}')
        await until(lambda: len(second.events) == 3)
        assert len(first.events) == 1


async def test_a_worker_that_leaves_is_forgotten() -> None:
    async with serving() as (_, accounts, port):
        async with linked(port) as (link, _):
            await link.follow(7)
        await until(lambda: accounts.forgotten == [7])


async def test_an_account_that_cannot_be_followed_is_refused_and_one_that_is_lost_is_told() -> None:
    async with serving() as (server, _, port), linked(port) as (link, heard):
        with pytest.raises(PublicError) as refused:
            await link.follow(13)
        assert refused.value.code == -1008
        await link.follow(7)
        server.lost(7)
        await until(lambda: heard.losses[-1:] == [7])
        server.event(7, b"{}")
        await link.follow(7)
        server.event(7, b'{"n":1}')
        await until(lambda: heard.events == [(7, b'{"n":1}')])


async def test_a_late_confirmation_is_not_taken_for_that_of_a_second_asking() -> None:
    async with serving() as (server, accounts, port), linked(port) as (link, heard):
        await link.follow(8)
        first = asyncio.create_task(link.follow(14))
        await until(lambda: accounts.asked == [8, 14])
        server.following(14)  # on its way when the account is given up
        link.forget(14)
        second = asyncio.create_task(link.follow(14))
        with pytest.raises(PublicError):
            await first
        await until(lambda: accounts.asked == [8, 14, 14])
        server.event(8, b"{}")
        await until(lambda: heard.events)  # and whatever was said before it
        assert accounts.forgotten == [14]
        assert not second.done()
        server.following(14)
        await second


async def test_a_stranger_is_told_nothing() -> None:
    async with serving() as (server, _, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"+7 0\n")
        said = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(DEADLINE_S):
                said = await reader.read()
        writer.close()
        assert said == b""
        async with linked(port, "another master key of the same length") as (_, heard):
            await until(lambda: heard.losses)  # connected, refused
            assert not server.workers
        server.event(7, b"{}")
        assert heard.events == []


async def test_a_worker_that_does_not_read_is_cut() -> None:
    async with serving(buffer_bytes=65_536) as (server, _, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"H " + proof(MASTER) + b"\n+7 0\n")
        await until(lambda: server.workers)
        body = b'{"x":"%b"}' % (b"y" * 60_000)
        async with asyncio.timeout(DEADLINE_S):
            while server.workers:
                server.event(7, body)
                await asyncio.sleep(0)
        writer.close()
        assert reader.at_eof() is False


def test_lines_are_put_together_and_one_without_an_end_is_refused() -> None:
    lines = Lines()
    assert lines.feed(b"P\nS 1") == [b"P"]
    assert lines.feed(b"2\nE 1 {}\n") == [b"S 12", b"E 1 {}"]
    with pytest.raises(ValueError, match="without an end"):
        lines.feed(b"x" * (MAX_LINE + 1))
