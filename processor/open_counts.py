"""How many orders (or stops, icebergs, order lists) an account has open on a symbol, at most.

Only this process adds orders for the accounts of its partitions, and everything else takes orders
away. So a count that was once read, plus what was accepted since, is never below the truth, and the
hot book has to be asked again only when that bound reaches the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

Pair = tuple[int, str]
"""(account id, symbol)"""
K = TypeVar("K", bound=Hashable)


class OpenCounts(Generic[K]):
    """Bounds by key: a pair, or a pair and what is counted. `limit` says how many a key may have."""

    def __init__(self, limit: Callable[[K], int]) -> None:
        self._bounds: dict[K, int] = {}
        self._limit = limit

    def unsure(self, wanted: Mapping[K, int]) -> list[K]:
        """Return the keys to be read: `wanted` orders may rest there, and the bound may not allow it."""
        bounds = self._bounds
        return [k for k, n in wanted.items() if k not in bounds or bounds[k] + n > self._limit(k)]

    def learn(self, counts: Mapping[K, int]) -> None:
        self._bounds.update(counts)

    def accepted(self, key: K, count: int = 1) -> None:
        self._bounds[key] = self._bounds.get(key, 0) + count

    def of(self, keys: Mapping[K, int]) -> dict[K, int]:
        return {key: self._bounds.get(key, 0) for key in keys}

    def forget(self) -> None:
        """After a change of partitions others may have added orders."""
        self._bounds.clear()
