"""Unfilled orders by account: counted here at once, told to the other workers a little later.

A count never falls below 0. What others have counted arrives with the answer, so it is as old as the
last exchange (`ingest/shared_limits.py`: 50 ms under way).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from msgspec import Struct

_NS: Final = 1_000_000_000
_REMEMBERED_MAKERS: Final = 100_000
_MOST_MAKERS: Final = 1_000
"""In one change: a script's call takes some thousand arguments."""
_STALE_NS: Final = 200_000_000
"""A count not compared with the others' for this long is, when it is next needed."""


class Count(Struct):
    total: int = 0
    """What all workers have told, this one's part included."""
    sent: int = 0
    """Under way to the others."""
    unsent: int = 0
    heard_ns: int = 0

    def value(self) -> int:
        return max(self.total + self.sent + self.unsent, 0)


class Change(Struct, frozen=True):
    """One thing to tell. With `makers` it counts for each of these orders that nobody has told of before."""

    window: str
    number: int
    seconds: int
    account_id: int
    delta: int
    known: int
    makers: tuple[str, ...] = ()


class _Window:
    def __init__(self, name: str, short: str, seconds: int, limit: int) -> None:
        self.name, self.short, self.seconds, self.limit = name, short, seconds, limit
        self.header = b"x-mbx-order-count-" + short.encode()
        self.width_ns = seconds * _NS
        self.number = -1
        self.counts: dict[int, Count] = {}

    def of(self, account_id: int, now_ns: int) -> Count:
        number = now_ns // self.width_ns
        if number > self.number:
            self.number = number
            self.counts = {}
        found = self.counts.get(account_id)
        if found is None:
            found = self.counts[account_id] = Count()
        return found

    def retry_after_s(self, now_ns: int) -> int:
        return int(-(-(self.width_ns - now_ns % self.width_ns) // _NS))


class OrderCounts:
    def __init__(self, limit_10s: int, limit_1d: int) -> None:
        self._windows = (_Window("10 SECOND", "10s", 10, limit_10s), _Window("1 DAY", "1d", 86_400, limit_1d))
        self._dirty: dict[int, None] = {}
        self._makers: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._given_back: dict[tuple[int, int], list[str]] = {}
        """(account, what each gives back) -> orders."""

    @property
    def windows(self) -> list[tuple[str, str, int, int]]:
        return [(w.name, w.short, w.seconds, w.limit) for w in self._windows]

    @property
    def dirty(self) -> bool:
        return bool(self._dirty or self._given_back)

    def over(self, account_id: int, now_ns: int) -> tuple[str, int, int] | None:
        """Return (window, limit, seconds to wait) of a limit that is reached."""
        for window in self._windows:
            count = window.of(account_id, now_ns)
            if count.total + count.sent + count.unsent >= window.limit:
                return window.name, window.limit, window.retry_after_s(now_ns)
        return None

    def near(self, account_id: int, now_ns: int) -> bool:
        """Return whether a limit is so near that a count a little too old may be on its wrong side."""
        return any(8 * w.of(account_id, now_ns).value() >= 7 * w.limit for w in self._windows)

    def compare(self, account_id: int) -> None:
        """Note that the next exchange is to bring the account's counts."""
        self._dirty[account_id] = None

    def ask(self, account_id: int, now_ns: int) -> bool:
        """Return whether the others should be asked about this account, and note it."""
        if self._windows[0].of(account_id, now_ns).heard_ns > now_ns - _STALE_NS:
            return False
        self._dirty[account_id] = None
        return True

    def add(self, account_id: int, orders: int, now_ns: int) -> list[tuple[bytes, bytes]]:
        """Count and return the headers."""
        headers = []
        for window in self._windows:
            count = window.of(account_id, now_ns)
            count.unsent += orders
            headers.append((window.header, b"%d" % count.value()))
        if orders:
            self._dirty[account_id] = None
        return headers

    def maker_filled(self, account_id: int, symbol: str, order_id: int, gives: int) -> None:
        """Note that a resting order was filled; only its first fill gives back."""
        name = (symbol, order_id)
        if name in self._makers:
            return
        self._makers[name] = None
        if len(self._makers) > _REMEMBERED_MAKERS:
            self._makers.popitem(last=False)
        self._given_back.setdefault((account_id, -gives), []).append(f"{symbol}:{order_id}")

    def counts(self, account_id: int, now_ns: int) -> list[tuple[str, int, int]]:
        """Return (window, limit, count)."""
        return [(w.name, w.limit, w.of(account_id, now_ns).value()) for w in self._windows]

    def give_back_alone(self, now_ns: int) -> None:
        """Apply what was given back here, because there is nobody to share with."""
        given, self._given_back = self._given_back, {}
        for (account_id, delta), makers in given.items():
            for window in self._windows:
                count = window.of(account_id, now_ns)
                count.unsent += max(delta * len(makers), -count.value())

    def take_changes(self, now_ns: int) -> list[Change]:
        """Return what to tell, for each of them one answer is to be `heard`."""
        dirty, self._dirty = self._dirty, {}
        changes = []
        for account_id in dirty:
            for window in self._windows:
                count = window.of(account_id, now_ns)
                count.sent, count.unsent = count.sent + count.unsent, 0
                changes.append(self._change(window, account_id, count.sent, count.total))
        given, self._given_back = self._given_back, {}
        for (account_id, delta), found in given.items():
            for first in range(0, len(found), _MOST_MAKERS):
                makers = tuple(found[first : first + _MOST_MAKERS])
                for window in self._windows:
                    known = window.of(account_id, now_ns).total
                    changes.append(self._change(window, account_id, delta, known, makers))
        return changes

    def _change(
        self, window: _Window, account_id: int, delta: int, known: int, makers: tuple[str, ...] = ()
    ) -> Change:
        return Change(window.short, window.number, window.seconds, account_id, delta, known, makers)

    def heard(self, change: Change, total: int, now_ns: int) -> None:
        """Take in the new total of all workers."""
        for window in self._windows:
            count = window.of(change.account_id, now_ns)
            if window.short == change.window and window.number == change.number:
                count.total, count.heard_ns = total, now_ns
                if not change.makers:
                    count.sent -= change.delta

    def not_told(self, changes: list[Change], now_ns: int) -> None:
        """Take back what could not be told; it is told with the next change of the account."""
        for change in changes:
            for window in self._windows:
                if window.short == change.window and window.number == change.number and not change.makers:
                    count = window.of(change.account_id, now_ns)
                    count.sent -= change.delta
                    count.unsent += change.delta
                    self._dirty[change.account_id] = None
