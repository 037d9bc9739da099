"""Listen keys, the retired way to user data that old clients still go: a name for an account's events.

A key lives 60 minutes from its last sign of life. It is kept in Redis alone: when Redis forgets it, the
client is told that it has expired and asks for another.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Awaitable
from typing import Final, NamedTuple, TypeVar

import redis.asyncio

from schemas import public_errors as errors
from service_runtime.settings import RedisSettings

T = TypeVar("T")
LIFE_S: Final = 3_600
LENGTH: Final = 64
SHAPE: Final = re.compile(rf"[A-Za-z0-9]{{{LENGTH}}}", re.ASCII)
_LETTERS: Final = string.ascii_letters + string.digits
_KEY: Final = "listen-key:"
_OF: Final = "listen-key-of:"

# KEYS: where the account's key stands. ARGV: a new one, the account, the API key, its life, how keys begin.
# Answers the account's key, which lives on; there is one at a time.
_ISSUE: Final = """
local key = redis.call('GET', KEYS[1])
if not key or redis.call('EXISTS', ARGV[5] .. key) == 0 then key = ARGV[1] end
redis.call('SET', ARGV[5] .. key, ARGV[2] .. ' ' .. ARGV[3], 'EX', ARGV[4])
redis.call('SET', KEYS[1], key, 'EX', ARGV[4])
return key
"""


class Listening(NamedTuple):
    """Who may hear what by a listen key."""

    account_id: int
    api_key: str
    """With which it was asked for; the key ends with it."""


class ListenKeys:
    """Every method raises -1008 (503) while Redis is away."""

    def __init__(self, settings: RedisSettings) -> None:
        timeout_s = settings.timeout_ms / 1000
        self._redis = redis.asyncio.Redis.from_url(
            settings.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=None
        )

    async def issue(self, who: Listening) -> str:
        """Return the account's listen key, a new one if it has none; either lives an hour from now."""
        fresh = "".join(secrets.choice(_LETTERS) for _ in range(LENGTH))
        arguments = (fresh, str(who.account_id), who.api_key, str(LIFE_S), _KEY)
        issued = self._redis.eval(_ISSUE, 1, f"{_OF}{who.account_id}", *arguments)
        return bytes(await self._answered(issued)).decode()

    async def extend(self, account_id: int, listen_key: str) -> None:
        """Let it live an hour from now. Raises -1125 for one that is not the account's."""
        await self._own(account_id, listen_key)
        await self._answered(self._redis.expire(_KEY + listen_key, LIFE_S))
        await self._answered(self._redis.expire(f"{_OF}{account_id}", LIFE_S))

    async def end(self, account_id: int, listen_key: str) -> None:
        """Forget it. Raises -1125 for one that is not the account's."""
        await self._own(account_id, listen_key)
        await self._answered(self._redis.delete(_KEY + listen_key, f"{_OF}{account_id}"))

    async def who(self, listen_key: str) -> Listening | None:
        """Return whose it is, None for one that is not or no longer known."""
        if SHAPE.fullmatch(listen_key) is None:
            return None
        found = await self._answered(self._redis.get(_KEY + listen_key))
        if found is None:
            return None
        account_id, api_key = (found if isinstance(found, str) else found.decode()).split(" ")
        return Listening(int(account_id), api_key)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _own(self, account_id: int, listen_key: str) -> None:
        found = await self.who(listen_key)
        if found is None or found.account_id != account_id:
            raise errors.NO_LISTEN_KEY()

    async def _answered(self, asked: Awaitable[T]) -> T:
        try:
            return await asked
        except (redis.RedisError, OSError) as error:
            raise errors.OVERLOADED(retry_after=errors.RETRY_AFTER_S) from error
