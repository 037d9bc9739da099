"""What one worker has of the limits: counters in windows aligned to the clock, spent from leases."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

_NS: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000
_CLOSED_NS: Final = _NS
"""What the others have left none of is asked for again after this."""
_LEAST_BLOCK: Final = 500
LARGEST_BLOCK: Final = 50
"""A lease takes at least 1/500 and at most 1/50 of the limit more than is needed at once; in between,
what the address used in the last second."""


class Window:
    """One counter per key of this worker alone, all forgotten when the next window opens."""

    def __init__(self, seconds: int, limit: int) -> None:
        self._width_ns = seconds * _NS
        self.limit = limit
        self._number = -1
        self._counts: dict[Any, int] = {}

    def _turn(self, now_ns: int) -> None:
        number = now_ns // self._width_ns
        if number > self._number:
            self._number = number
            self._counts = {}

    def count(self, key: Any, now_ns: int) -> int:
        self._turn(now_ns)
        return self._counts.get(key, 0)

    def add(self, key: Any, amount: int, now_ns: int) -> int:
        """Count and return the new total, which never falls below 0."""
        self._turn(now_ns)
        total = max(self._counts.get(key, 0) + amount, 0)
        self._counts[key] = total
        return total

    def retry_after_s(self, now_ns: int) -> int:
        """Seconds until the window ends, rounded up."""
        return int(-(-(self._width_ns - now_ns % self._width_ns) // _NS))


class Allowance:
    """What one key has of one limit in the present window, at this worker."""

    __slots__ = ("closed_until_ns", "granted", "leased_ns", "others", "used", "used_then")

    def __init__(self, now_ns: int) -> None:
        self.used = 0
        self.granted = 0
        self.others = 0
        """What other workers have leased, as far as known."""
        self.closed_until_ns = 0
        """Until then there is no more to lease."""
        self.leased_ns = now_ns
        self.used_then = 0


class Meter:
    """One limit by key; all is forgotten when the next window opens."""

    def __init__(self, name: str, seconds: int, limit: int, credit: int) -> None:
        """`credit`: how much may be spent before it is leased, by who does not wait for leases."""
        self.name = name
        self.seconds = seconds
        self.limit = limit
        self._width_ns = seconds * _NS
        self._credit = credit
        self._number = -1
        self._keys: dict[str, Allowance] = {}

    def of(self, key: str, now_ns: int) -> Allowance:
        number = now_ns // self._width_ns
        if number > self._number:  # never back: a request may have waited past the end of its window
            self._number = number
            self._keys = {}
        found = self._keys.get(key)
        if found is None:
            found = self._keys[key] = Allowance(now_ns)
        return found

    def fits(self, had: Allowance, amount: int, now_ns: int, shared: bool) -> bool:
        """Return whether `amount` may be spent. Shared and not leased: a little, on credit."""
        if not shared:
            return had.others + had.used + amount <= self.limit
        if had.used + amount <= had.granted:
            return True
        if now_ns < had.closed_until_ns or had.others + had.used + amount > self.limit:
            return False
        return had.used + amount <= had.granted + self._credit

    def covers(self, had: Allowance, amount: int, now_ns: int) -> bool:
        """Return whether a lease would change nothing."""
        return had.used + amount <= had.granted or now_ns < had.closed_until_ns

    def wish(self, address: str, amount: int, now_ns: int) -> Wish:
        """Return what to lease, so that `amount` fits."""
        had = self.of(address, now_ns)
        need = had.used + amount - had.granted
        rate = (had.used - had.used_then) * _NS // max(now_ns - had.leased_ns, _NS_PER_MS)
        more = max(self.limit // _LEAST_BLOCK, min(rate, self.limit // LARGEST_BLOCK))
        return Wish(self, address, self._number, need, need + more)

    def leased(self, wish: Wish, granted: int, total: int, now_ns: int) -> None:
        """Take in what a lease brought; `total` is what all workers have leased with it."""
        had = self.of(wish.address, now_ns)
        if wish.number != self._number:
            return  # the window has closed meanwhile
        had.granted += granted
        had.others = max(total - had.granted, 0)
        had.leased_ns, had.used_then = now_ns, had.used
        had.closed_until_ns = 0
        if granted < wish.need:
            had.closed_until_ns = min(now_ns + _CLOSED_NS, (wish.number + 1) * self._width_ns)

    def retry_after_s(self, now_ns: int) -> int:
        """Seconds until the window ends, rounded up."""
        return int(-(-(self._width_ns - now_ns % self._width_ns) // _NS))


class Wish(NamedTuple):
    """A lease to ask for, of one window: at least `need`, gladly `most`."""

    meter: Meter
    address: str
    number: int
    need: int
    most: int
