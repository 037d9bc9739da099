"""Requests through a pool of the load generator, as futures."""

from __future__ import annotations

import asyncio

from tapehouse.bench.load import Pool


async def ask(pool: Pool, *requests: bytes) -> list[tuple[int, bytes]]:
    """Send all at once; return (status, body) of each, in their order."""
    loop = asyncio.get_running_loop()
    waiting = []
    for request in requests:
        future: asyncio.Future[tuple[int, bytes]] = loop.create_future()

        def done(status: int, body: bytes, future: asyncio.Future[tuple[int, bytes]] = future) -> None:
            future.set_result((status, body))

        pool.request(lambda request=request: request, done)  # type: ignore[misc]
        waiting.append(future)
    return await asyncio.wait_for(asyncio.gather(*waiting), 60)
