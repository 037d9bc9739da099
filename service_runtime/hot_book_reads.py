"""The hot book as event loops read it: ingest and market data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import msgspec
import redis
import redis.asyncio

from schemas.hot_book import OpenOrder, account_key, key
from schemas.orders import MarketState
from service_runtime.breaker import Breaker
from service_runtime.hot_book import HotBookAway
from service_runtime.hot_book_scripts import OPEN_ORDERS
from service_runtime.settings import RedisSettings

_decode_order = msgspec.json.Decoder(OpenOrder).decode
T = TypeVar("T")


class AsyncHotBook:
    """The reading client for event loops (ingest, market data). Raises HotBookAway on failure."""

    def __init__(self, settings: RedisSettings) -> None:
        timeout_s = settings.timeout_ms / 1000
        self.redis = redis.asyncio.Redis.from_url(
            settings.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=None
        )
        self._breaker = Breaker("Redis", settings.retry_after_ms / 1000)

    async def close(self) -> None:
        await self.redis.aclose()

    async def _guarded(self, work: Awaitable[T]) -> T:
        if self._breaker.is_open:
            if hasattr(work, "close"):
                work.close()
            raise HotBookAway("Redis is left alone after a failure")
        try:
            result = await work
        except (redis.RedisError, OSError) as error:
            self._breaker.failed(error)
            raise HotBookAway(str(error)) from error
        self._breaker.succeeded()
        return result

    async def _pipeline(self, fill: Callable[[Any], None]) -> list[Any]:
        pipeline = self.redis.pipeline(transaction=False)
        fill(pipeline)
        return list(await self._guarded(pipeline.execute()))

    async def open_orders(self, account_id: int, symbols: Sequence[str]) -> dict[str, list[OpenOrder]]:
        """Return the account's open orders by symbol, oldest first. HotBookAway if any symbol has no book."""

        def fill(pipeline: Any) -> None:
            for symbol in symbols:
                keys = [key(symbol, "stamp"), key(symbol, "orders"), account_key(symbol, account_id)]
                pipeline.eval(OPEN_ORDERS, len(keys), *keys)

        found = await self._pipeline(fill)
        result = {}
        for symbol, answer in zip(symbols, found, strict=True):
            if answer[0] is None:
                raise HotBookAway(f"no hot book for {symbol}")
            result[symbol] = sorted(map(_order_of, answer[1:]), key=lambda order: order.order_id)
        return result

    async def order(self, symbol: str, order_id: int) -> OpenOrder | None:
        """Return one open order, None if it is not open. HotBookAway if the symbol has no book."""

        def fill(pipeline: Any) -> None:
            pipeline.exists(key(symbol, "stamp"))
            pipeline.hget(key(symbol, "orders"), str(order_id))

        known, data = await self._pipeline(fill)
        if not known:
            raise HotBookAway(f"no hot book for {symbol}")
        return None if data is None else _order_of(data)

    async def seen(self, account_id: int, symbols: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return (sequence, trade id) of the last record that touched the account, where there is one."""

        def fill(pipeline: Any) -> None:
            for symbol in symbols:
                pipeline.hget(key(symbol, "seen"), str(account_id))

        found = await self._pipeline(fill)
        result = {}
        for symbol, value in zip(symbols, found, strict=True):
            if value is not None:
                sequence, _, trade_id = value.decode().partition(":")
                result[symbol] = (int(sequence), int(trade_id))
        return result

    async def update_id(self, symbol: str) -> int | None:
        """Return the book update id of the last record written, None without a hot book."""
        found = (await self._pipeline(lambda p: p.hget(key(symbol, "stamp"), "update_id")))[0]
        return None if found is None else int(found)

    async def last_prices(self, symbols: Sequence[str]) -> dict[str, int | None]:
        """Return the price of each symbol's last trade, None where there is none or no hot book."""

        def fill(pipeline: Any) -> None:
            for symbol in symbols:
                pipeline.hget(key(symbol, "stamp"), "last_price_ticks")

        found = await self._pipeline(fill)
        return {s: None if v is None else int(v) for s, v in zip(symbols, found, strict=True)}

    async def market_states(self, symbols: Sequence[str]) -> dict[str, MarketState | None]:
        """Return each symbol's state as of its last record, None without a hot book."""

        def fill(pipeline: Any) -> None:
            for symbol in symbols:
                pipeline.hget(key(symbol, "stamp"), "state")

        found = await self._pipeline(fill)
        return {
            s: None if v is None else MarketState(v.decode()) for s, v in zip(symbols, found, strict=True)
        }


def _order_of(data: bytes) -> OpenOrder:
    """Return the order. HotBookAway if somebody else wrote it: the matcher will write the book anew."""
    try:
        return _decode_order(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HotBookAway(f"an order in the hot book is none of ours: {error}") from error
