"""When each fault was over for a client (I12): from the injection to the first new trade it sees; pure.

A trade is new when its order was sent after the injection. What must see it depends on what was hit.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class View(StrEnum):
    """Where a client sees trades."""

    ANSWERS = "answers"
    """Fills in the answers of orders: ingest, processor, matcher, and the servers behind them."""
    STREAM = "stream"
    """The public trade streams: market data."""
    TABLES = "tables"
    """The history of trades: the recorder."""


@dataclass
class Hit:
    """One injection that stops trades on `symbols`, for all or for some accounts."""

    name: str
    view: View
    at_s: float
    symbols: Collection[str]
    """Empty: any symbol shows it."""
    account_classes: Collection[int] = ()
    """Account ids modulo 4 that it hit; empty: all."""
    seen_s: float | None = None

    @property
    def recovery_s(self) -> float | None:
        return None if self.seen_s is None else self.seen_s - self.at_s


class Sightings:
    def __init__(self) -> None:
        self._open: list[Hit] = []
        self.closed: list[Hit] = []

    def hit(self, hit: Hit) -> Hit:
        self._open.append(hit)
        return hit

    def waits_for(self, view: View) -> bool:
        return any(hit.view is view for hit in self._open)

    @property
    def open(self) -> tuple[Hit, ...]:
        return tuple(self._open)

    def trade(self, view: View, symbol: str, account_id: int | None, sent_s: float, seen_s: float) -> None:
        """A trade of an order sent at `sent_s` was seen; `account_id` None: nobody knows whose."""
        if not self._open:
            return
        left = []
        for hit in self._open:
            here = hit.view is view and (not hit.symbols or symbol in hit.symbols)
            whose = not hit.account_classes or account_id is None or account_id % 4 in hit.account_classes
            if here and whose and sent_s >= hit.at_s:
                hit.seen_s = seen_s
                self.closed.append(hit)
            else:
                left.append(hit)
        self._open = left

    def drain(self) -> tuple[list[Hit], list[Hit]]:
        """Return (over, never over) since the last call."""
        over, never = self.closed, self._open
        self.closed, self._open = [], []
        return over, never
