"""How often somebody may try to sign in or register: by login and by address, over all workers.

Closed while Redis is away: who cannot be counted is not let in.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import redis.asyncio
import redis.exceptions

from ingest.management_refusal import ManagementRefusal
from ingest.rate_limits import subscriber
from ingest.settings import AccountOptions
from schemas.public_errors import RETRY_AFTER_S
from service_runtime.settings import RedisSettings

# ARGV: seconds and limit of each key. Answers 0, and has counted an attempt for all; or the seconds to
# wait of the first key that is at its limit, and has counted none.
_COUNT: Final = """
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') >= tonumber(ARGV[2 * i]) then
    return math.max(redis.call('TTL', key), 1)
  end
end
for i, key in ipairs(KEYS) do
  if redis.call('INCR', key) == 1 then redis.call('EXPIRE', key, ARGV[2 * i - 1]) end
end
return 0
"""
_FORGET: Final = """
for _, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') > 0 then redis.call('DECR', key) end
end
"""
_WINDOW_S: Final = 900
_HOUR_S: Final = 3600


class _Counter(NamedTuple):
    key: str
    seconds: int
    limit: int


class Attempts:
    def __init__(self, settings: RedisSettings, options: AccountOptions) -> None:
        timeout_s = settings.timeout_ms / 1000
        self._redis = redis.asyncio.Redis.from_url(
            settings.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
        )
        self._count = self._redis.register_script(_COUNT)
        self._forget = self._redis.register_script(_FORGET)
        self._options = options

    async def sign_in(self, login: str, address: str) -> None:
        """Count an attempt. Raises ManagementRefusal: 429, or 503 while nothing can be counted."""
        await self._run(self._sign_in_counters(login, address))

    async def signed_in(self, login: str, address: str) -> None:
        """Take the attempt back: it was right."""
        keys = [counter.key for counter in self._sign_in_counters(login, address)]
        await self._call(self._forget, keys, [])

    async def register(self, address: str) -> None:
        counter = _Counter(_name("register", subscriber(address)), _HOUR_S, self._options.registrations_1h)
        await self._run([counter])

    async def close(self) -> None:
        await self._redis.aclose()

    def _sign_in_counters(self, login: str, address: str) -> list[_Counter]:
        options = self._options
        return [
            _Counter(_name("login", login), _WINDOW_S, options.attempts_of_login_15m),
            _Counter(_name("address", subscriber(address)), _WINDOW_S, options.attempts_of_address_15m),
        ]

    async def _run(self, counters: Sequence[_Counter]) -> None:
        arguments = [number for counter in counters for number in (counter.seconds, counter.limit)]
        wait_s = await self._call(self._count, [counter.key for counter in counters], arguments)
        if wait_s:
            raise ManagementRefusal(
                429, "too_many_attempts", "too many attempts; wait", {"Retry-After": str(wait_s)}
            )

    async def _call(self, script: Any, keys: list[str], arguments: list[int]) -> int:
        try:
            return int(await script(keys=keys, args=arguments) or 0)
        except (redis.exceptions.RedisError, OSError) as error:
            raise ManagementRefusal(
                503,
                "overloaded",
                "sign-in is closed for a moment; try again",
                {"Retry-After": str(RETRY_AFTER_S)},
            ) from error


def _name(kind: str, whom: str) -> str:
    """Return a key that shows nobody's login."""
    return f"attempts:{kind}:{blake2b(whom.encode(), digest_size=16).hexdigest()}"
