"""What makes the limits those of all workers: leases and order counts, exchanged through Redis.

One script call carries everything that the whole worker wants at the moment, so there is at most one a
request, and under load one for many hundreds. Redis is never truth: while it is away each worker keeps
the limits for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
import redis.asyncio
import redis.exceptions
import structlog

from ingest.meters import Wish
from ingest.order_counts import Change
from ingest.rate_limits import RateLimits
from service_runtime.settings import RedisSettings

_log = structlog.get_logger("shared_limits")
_GATHER_S: Final = 0.05
_MOST_TIMEOUT_S: Final = 0.25
"""A request may wait for a lease: not longer than this."""
_LONGEST_BAN_S: Final = 3 * 86_400
_MAKER_MEMORY_S: Final = 600
_NS_PER_MS: Final = 1_000_000
_PREFIX: Final = "limits:"

# ARGV[1]: {leases: [[key, ban key, seconds, limit, most]...], makers: [[order...]...], orders: [[key,
# seconds, delta, known, place in makers or 0]...], bans: [[key, seconds, longest]...], now_ms, makers_key,
# maker_s}. Answers three lists: [granted, total, banned until] by lease, totals by order count, ends by
# ban. A count that vanished goes on from what is known. With makers, delta counts for each of them that is
# neither in the present set nor in the one before: a set for so many seconds of the server's clock costs a
# fraction of a key for each order.
_EXCHANGE: Final = """
local asked = cjson.decode(ARGV[1])
local leases, totals, bans = {}, {}, {}
for i, a in ipairs(asked.leases) do
  local used = tonumber(redis.call('GET', a[1]) or '0')
  local granted = math.max(math.min(a[5], a[4] - used), 0)
  if granted > 0 then
    used = redis.call('INCRBY', a[1], granted)
    redis.call('EXPIRE', a[1], a[3])
  end
  leases[i] = {granted, used, tonumber(redis.call('GET', a[2]) or '0')}
end
local fresh = {}
if #asked.makers > 0 then
  local number = math.floor(tonumber(redis.call('TIME')[1]) / asked.maker_s)
  local present = string.format('%s%d', asked.makers_key, number)
  local before = string.format('%s%d', asked.makers_key, number - 1)
  for i, orders in ipairs(asked.makers) do
    local new = {}
    for j, old in ipairs(redis.call('SMISMEMBER', before, unpack(orders))) do
      if old == 0 then new[#new + 1] = orders[j] end
    end
    fresh[i] = #new > 0 and redis.call('SADD', present, unpack(new)) or 0
  end
  redis.call('EXPIRE', present, 2 * asked.maker_s)
end
for i, a in ipairs(asked.orders) do
  local known, delta = redis.call('GET', a[1]), a[3]
  if a[5] > 0 then delta = delta * fresh[a[5]] end
  local total = math.max(tonumber(known or a[4]) + delta, 0)
  if delta ~= 0 or not known then redis.call('SET', a[1], total, 'EX', a[2]) end
  totals[i] = total
end
for i, a in ipairs(asked.bans) do
  local strikes = redis.call('INCR', a[1] .. ':strikes')
  redis.call('EXPIRE', a[1] .. ':strikes', a[3])
  local seconds = math.min(a[2] * 2 ^ math.min(strikes - 1, 20), a[3])
  local ends = math.floor(asked.now_ms + seconds * 1000)
  redis.call('SET', a[1], string.format('%d', ends), 'PX', math.floor(seconds * 1000))
  bans[i] = ends
end
return {leases, totals, bans}
"""


class SharedLimits:
    def __init__(
        self, settings: RedisSettings, limits: RateLimits, ban_s: int, now_ns: Callable[[], int]
    ) -> None:
        timeout_s = min(settings.timeout_ms / 1000, _MOST_TIMEOUT_S)
        self._redis = redis.asyncio.Redis.from_url(
            settings.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
        )
        self._script = self._redis.register_script(_EXCHANGE)
        self._retry_after_s = settings.retry_after_ms / 1000
        self._limits = limits
        self._ban_s = ban_s
        self._now_ns = now_ns
        self._urgent = asyncio.Event()
        self._stirred = asyncio.Event()
        self._next: asyncio.Future[None] | None = None
        self.calls = 0
        """How often Redis was called."""

    async def ensure(self, address: str, weight: int, now_ns: int) -> None:
        """Return when `RateLimits.spend` can decide exactly: after one exchange at most, or a second one
        for a request whose window closed meanwhile.
        """
        for _ in range(2):
            if self._limits.covers(address, weight, now_ns):
                return
            if self._next is None:
                self._next = asyncio.get_running_loop().create_future()
            waiting = self._next
            self._limits.want(address, weight, now_ns)
            await waiting

    async def compare_orders(self, account_id: int) -> None:
        """Return when the account's order counts are those of all workers, or Redis is away."""
        if not self._limits.shared:
            return
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        waiting = self._next
        self._limits.orders.compare(account_id)
        self._wake()
        await asyncio.shield(waiting)

    async def run(self) -> None:
        """Exchange until canceled."""
        self._limits.wake, self._limits.stir = self._wake, self._stirred.set
        self._wake()
        try:
            while True:
                await self._stirred.wait()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GATHER_S):
                        await self._urgent.wait()
                self._stirred.clear()
                self._urgent.clear()
                if not await self._exchange():
                    await asyncio.sleep(self._retry_after_s)
                    self._wake()
        finally:
            self._limits.shared = False
            self._release(None)
            await self._redis.aclose()

    def _wake(self) -> None:
        self._stirred.set()
        self._urgent.set()

    async def _exchange(self) -> bool:
        """Exchange once; return whether Redis answered."""
        now_ns = self._now_ns()
        waiting, self._next = self._next, None
        limits = self._limits
        wishes, changes = limits.take_wishes(now_ns), limits.orders.take_changes(now_ns)
        bans, limits.new_bans = limits.new_bans, []
        try:
            self.calls += 1
            answer = await self._script(args=[self._document(wishes, changes, bans, now_ns)])
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            if limits.shared:
                _log.warning("limits are kept by each worker alone", error=str(error))
            limits.shared = False
            limits.orders.not_told(changes, now_ns)
            limits.orders.give_back_alone(now_ns)
            self._release(waiting)
            return False
        if not limits.shared:
            limits.shared = True
            _log.info("limits are shared")
        self._take_in(answer, wishes, changes, bans)
        self._release(waiting)
        return True

    def _document(self, wishes: list[Wish], changes: list[Change], bans: list[str], now_ns: int) -> bytes:
        makers = {
            orders: place
            for place, orders in enumerate(dict.fromkeys(c.makers for c in changes if c.makers), 1)
        }
        return msgspec.json.encode(
            {
                "leases": [
                    (
                        f"{_PREFIX}{wish.meter.name}:{wish.number}:{wish.address}",
                        f"{_PREFIX}ban:{wish.address}",
                        *(wish.meter.seconds, wish.meter.limit, wish.most),
                    )
                    for wish in wishes
                ],
                "makers": list(makers),
                "orders": [
                    (
                        f"{_PREFIX}orders:{change.window}:{change.number}:{change.account_id}",
                        *(change.seconds, change.delta, change.known, makers.get(change.makers, 0)),
                    )
                    for change in changes
                ],
                "bans": [(f"{_PREFIX}ban:{address}", self._ban_s, _LONGEST_BAN_S) for address in bans],
                "now_ms": now_ns // _NS_PER_MS,
                "makers_key": f"{_PREFIX}makers:",
                "maker_s": _MAKER_MEMORY_S,
            }
        )

    def _take_in(self, answer: Any, wishes: list[Wish], changes: list[Change], bans: list[str]) -> None:
        limits, now_ns = self._limits, self._now_ns()
        leases, totals, ends = answer
        for wish, (granted, total, banned_until_ms) in zip(wishes, leases, strict=True):
            wish.meter.leased(wish, granted, total, now_ns)
            if banned_until_ms:
                limits.banned(wish.address, banned_until_ms * _NS_PER_MS)
        for change, total in zip(changes, totals, strict=True):
            limits.orders.heard(change, total, now_ns)
        for address, end_ms in zip(bans, ends, strict=True):
            limits.banned(address, end_ms * _NS_PER_MS)

    def _release(self, waiting: asyncio.Future[None] | None) -> None:
        for one in (waiting, self._next if waiting is None else None):
            if one is not None and not one.done():
                one.set_result(None)
