"""How much each address and each account may ask, in windows aligned to the clock.

Everything here is local and synchronous: what a request costs is a look into a dictionary. Weight, raw
requests and connection attempts are spent from what this worker has *leased* of the limit that all
workers share, so that their sum never passes it; orders are counted here and told to the others.
`ingest/shared_limits.py` leases and tells, many addresses and accounts in one call. Without it, or while
Redis is away, the whole limit is this worker's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ingest.http_exchange import Request
from ingest.meters import LARGEST_BLOCK, Meter, Window, Wish
from ingest.order_counts import OrderCounts
from ingest.settings import LimitSettings
from schemas import public_errors as errors
from schemas.events import CommandMatched, OrdersTraded
from schemas.public_errors import PublicError

_NS: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000
_MOST_BANS: Final = 10_000
_KEY_CREDIT: Final = 4
"""Nobody waits for the lease of a key: a quarter of its limit may be spent before it is there."""
MAKER_GIVES_BACK: Final = 5


class RateLimits:
    def __init__(self, limits: LimitSettings) -> None:
        self._settings = limits
        weight, raw, connections = limits.request_weight_1m, limits.raw_requests_5m, limits.connections_5m
        self.weight = Meter("weight", 60, weight, weight // LARGEST_BLOCK)
        self.raw = Meter("raw", 300, raw, raw // LARGEST_BLOCK)
        self.connections = Meter("connections", 300, connections, connections)
        of_key = limits.key_weight_1m or 0
        self.keys = Meter("key", 60, of_key, -(-of_key // _KEY_CREDIT))
        self._cancels = Window(60, limits.cancels_1m)
        self.orders = OrderCounts(limits.orders_10s, limits.orders_1d)
        self._refusals = Window(60, limits.ban_after_refusals)
        self._banned: dict[str, int] = {}
        self.shared = False
        """Whether leases are to be had: set by SharedLimits."""
        self.wake: Callable[[], None] = _nobody
        """Called when a lease is wanted."""
        self.stir: Callable[[], None] = _nobody
        """Called when orders are to be told, some time soon."""
        self.wanted: dict[tuple[str, str], int] = {}
        """(meter, address) -> amount that does not fit what is leased."""
        self.new_bans: list[str] = []
        self._meters = {meter.name: meter for meter in (self.weight, self.raw, self.connections, self.keys)}

    def published(self) -> list[dict[str, Any]]:
        """Return `rateLimits` of exchangeInfo."""
        rows = [_limit("REQUEST_WEIGHT", "MINUTE", 1, self.weight.limit)]
        rows += [_limit("ORDERS", *_interval(name), limit) for name, _, _, limit in self.orders.windows]
        return [*rows, _limit("RAW_REQUESTS", "MINUTE", 5, self.raw.limit)]

    # -- addresses ------------------------------------------------------------------------------

    def covers(self, address: str, weight: int, now_ns: int) -> bool:
        """Return whether `spend` can decide at once; else a lease should be awaited first."""
        if not self.shared:
            return True
        address = subscriber(address)
        had, raw = self.weight.of(address, now_ns), self.raw.of(address, now_ns)
        return self.weight.covers(had, weight, now_ns) and self.raw.covers(raw, 1, now_ns)

    def want(self, address: str, weight: int, now_ns: int) -> None:
        """Ask for a lease that makes `weight` fit."""
        address = subscriber(address)
        for meter, amount in ((self.weight, weight), (self.raw, 1)):
            if not meter.covers(meter.of(address, now_ns), amount, now_ns):
                key = (meter.name, address)
                self.wanted[key] = self.wanted.get(key, 0) + amount
        self.wake()

    def spend(self, address: str, weight: int, now_ns: int, cancel: bool = False) -> int:
        """Count a request of an address and return the weight it has used in this minute.

        Raises -1003: 429, and 418 for those who go on. A refused request does not count. A cancel that
        finds nothing left is paid from a budget of its own.
        """
        address = subscriber(address)
        had, raw = self.weight.of(address, now_ns), self.raw.of(address, now_ns)
        if not self._banned or address not in self._banned or self._ban_over(address, now_ns):
            if self.weight.fits(had, weight, now_ns, self.shared):
                if self.raw.fits(raw, 1, now_ns, self.shared):
                    had.used += weight
                    raw.used += 1
                    if self.shared and (had.used > had.granted or raw.used > raw.granted):
                        self.want(address, 0, now_ns)
                    return had.others + had.used
                refusal = self._refusal(self.raw, "5 MINUTE", address, now_ns)
            else:
                refusal = self._refusal(self.weight, "1 MINUTE", address, now_ns)
        else:
            refusal = self._ban(address, now_ns)
        if cancel and self._spend_cancel(address, weight, now_ns):
            return had.others + had.used
        raise refusal

    def spend_key(self, api_key: str, request: Request) -> None:
        """Count an authenticated request for its key, whatever the address. Raises -1003 (429).

        A cancel is never refused here: its address has paid for it, from its budget of cancels if need be.
        """
        if not self.keys.limit:
            return
        now_ns, weight = request.received_ns, request.weight
        had = self.keys.of(api_key, now_ns)
        if self.keys.fits(had, weight, now_ns, self.shared):
            had.used += weight
            if self.shared and had.used > had.granted:
                self.wanted.setdefault((self.keys.name, api_key), 0)
                self.wake()
        elif request.method != "DELETE":
            raise self._refusal(self.keys, "1 MINUTE", subscriber(request.address), now_ns)

    def _spend_cancel(self, address: str, weight: int, now_ns: int) -> bool:
        fits = self._cancels.count(address, now_ns) + weight <= self._cancels.limit
        if fits:
            self._cancels.add(address, weight, now_ns)
        return fits

    def connect(self, address: str, now_ns: int) -> None:
        """Count an attempt to open a WebSocket. Raises -1003."""
        address = subscriber(address)
        if address in self._banned and not self._ban_over(address, now_ns):
            raise self._ban(address, now_ns)
        had = self.connections.of(address, now_ns)
        if not self.connections.fits(had, 1, now_ns, self.shared):
            raise self._refusal(self.connections, "5 MINUTE", address, now_ns)
        had.used += 1
        if self.shared and had.used > had.granted:
            self.wanted.setdefault((self.connections.name, address), 0)
            self.wake()

    def used_weight(self, address: str, now_ns: int) -> int:
        had = self.weight.of(subscriber(address), now_ns)
        return had.others + had.used

    def _refusal(self, meter: Meter, window: str, address: str, now_ns: int) -> PublicError:
        refused = self._refusals.add(address, 1, now_ns)
        if refused > self._refusals.limit:
            self._refusals.add(address, -refused, now_ns)
            self.banned(address, now_ns + self._settings.ban_s * _NS)
            self.new_bans.append(address)
            self.wake()
            return self._ban(address, now_ns)
        return errors.TOO_MUCH_WEIGHT(meter.limit, window, retry_after=meter.retry_after_s(now_ns))

    def banned(self, address: str, until_ns: int) -> None:
        """Refuse the address until then."""
        if len(self._banned) >= _MOST_BANS:
            self._banned.pop(min(self._banned, key=self._banned.__getitem__))
        self._banned[address] = max(until_ns, self._banned.get(address, 0))

    def _ban_over(self, address: str, now_ns: int) -> bool:
        if self._banned[address] > now_ns:
            return False
        del self._banned[address]
        return True

    def _ban(self, address: str, now_ns: int) -> PublicError:
        until_ns = self._banned[address]
        return errors.BANNED(until_ns // _NS_PER_MS, retry_after=-(-(until_ns - now_ns) // _NS))

    # -- leases ---------------------------------------------------------------------------------

    def take_wishes(self, now_ns: int) -> list[Wish]:
        """Return what to lease."""
        wanted, self.wanted = self.wanted, {}
        wishes = [
            self._meters[name].wish(address, amount, now_ns) for (name, address), amount in wanted.items()
        ]
        return [wish for wish in wishes if wish.need > 0]

    # -- accounts -------------------------------------------------------------------------------

    def check_orders(self, account_id: int, now_ns: int) -> None:
        """Raise -1015 for an account that has as many unfilled orders as it may."""
        over = self.orders.over(account_id, now_ns)
        if over is not None:
            name, limit, retry_after = over
            raise errors.TOO_MANY_ORDERS(limit, name, retry_after=retry_after)
        if self.shared and self.orders.ask(account_id, now_ns):
            self.stir()

    def order_accepted(
        self, account_id: int, filled: bool, now_ns: int, orders: int = 1
    ) -> list[tuple[bytes, bytes]]:
        """Count accepted orders (one that took liquidity gives its own count back); return the headers."""
        headers = self.orders.add(account_id, orders - 1 if filled else orders, now_ns)
        if self.shared and self.orders.near(account_id, now_ns):
            self.wake()
        else:
            self.stir()
        return headers

    def matched(self, record: CommandMatched) -> None:
        """Give back what the first fill of each maker in this record gives back."""
        for event in record.events:
            if type(event) is OrdersTraded:
                self.orders.maker_filled(
                    event.maker_account_id, record.symbol, event.maker_order_id, MAKER_GIVES_BACK
                )
        if self.orders.dirty:
            self.stir()

    def order_counts(self, account_id: int, now_ns: int) -> list[dict[str, Any]]:
        """Return GET /rateLimit/order."""
        return [
            _limit("ORDERS", *_interval(name), limit) | {"count": count}
            for name, limit, count in self.orders.counts(account_id, now_ns)
        ]


def subscriber(address: str) -> str:
    """Return whom an address stands for: itself, or the /64 of an IPv6 address, which is one line's."""
    if ":" not in address:
        return address
    if address.startswith("::ffff:") and "." in address:
        return address[7:]
    return _expanded_prefix(address)


def _expanded_prefix(address: str) -> str:
    head, gap, tail = address.partition("%")[0].partition("::")
    groups = head.split(":") if head else []
    if gap:
        missing = 8 - len(groups) - (len(tail.split(":")) if tail else 0)
        groups += ["0"] * missing + (tail.split(":") if tail else [])
    return ":".join(group.lstrip("0") or "0" for group in groups[:4])


def _nobody() -> None:
    """Nobody shares these limits."""


def _interval(name: str) -> tuple[str, int]:
    number, unit = name.split()
    return unit, int(number)


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
