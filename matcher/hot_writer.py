"""Keeps the hot book of the symbols we own up to date; while Redis is away, matching goes on without."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import count

import structlog

from matcher import hot_changes
from matcher.hot_changes import WholeBook
from matcher.hot_check import HotCheck
from matcher.symbol_engine import Matched, SymbolEngine
from service_runtime.hot_book import HotBook, HotBookAway

_log = structlog.get_logger("matcher")


class HotWriter:
    """Writes batches, and whole books in parts where something is missing."""

    def __init__(self, hot: HotBook, name: str) -> None:
        self._hot = hot
        self._names = (f"{name}-{time.time_ns()}-{number}" for number in count())
        self._building: dict[str, WholeBook] = {}
        self._check = HotCheck(hot)

    def write(self, done: Sequence[tuple[SymbolEngine, list[Matched]]]) -> None:
        """Write what batches changed, in one round trip.

        If Redis is away, the next batch finds a gap in the stamp, and the whole book is written.
        """
        changes = [hot_changes.of_batch(engine, made) for engine, made in done]
        for change in changes:
            if change.symbol in self._building:
                change.building = self._building[change.symbol].name
        try:
            refused = self._hot.apply(changes)
            for engine, _ in done:
                if engine.symbol in refused:
                    was_building = self._building.pop(engine.symbol, None) is not None
                    if refused[engine.symbol] and not was_building:
                        self._write_whole(engine, takes_over=False)
        except HotBookAway:
            self._building.clear()

    def mend(self, engines: Mapping[str, SymbolEngine], ahead_is_wrong: bool) -> None:
        """Write whole what is missing or differs; while we work, another owner may be ahead."""
        missing = [symbol for symbol in engines if symbol not in self._building]
        try:
            stamps = self._hot.stamps(missing)
            for symbol in missing:
                engine, stamp = engines[symbol], stamps[symbol]
                ours = (engine.sequence, engine.last_hash)
                if stamp is None or (stamp != ours and (ahead_is_wrong or stamp[0] <= engine.sequence)):
                    self._write_whole(engine, takes_over=ahead_is_wrong)
        except HotBookAway as error:
            _log.debug("hot book not written", error=str(error))

    def check(self, engines: Iterable[SymbolEngine]) -> None:
        """Look at a part of what stands under right stamps; write whole what differs."""
        try:
            found = self._check.step([e for e in engines if e.symbol not in self._building])
            if found is not None:
                engine, what = found
                _log.error("hot book differs, written anew", symbol=engine.symbol, what=what)
                self._write_whole(engine, takes_over=False)
        except HotBookAway as error:
            _log.debug("hot book not checked", error=str(error))

    def step(self, budget_s: float) -> None:
        """Go on with large books, for about so long."""
        end = time.monotonic() + budget_s
        try:
            for symbol in list(self._building):
                while symbol in self._building and time.monotonic() < end:
                    self._write_part(self._building[symbol])
        except HotBookAway:
            self._building.clear()

    def forget(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._building.pop(symbol, None)

    def _write_whole(self, engine: SymbolEngine, takes_over: bool) -> None:
        whole = WholeBook(engine, next(self._names), takes_over)
        self._building[engine.symbol] = whole
        self._write_part(whole)

    def _write_part(self, whole: WholeBook) -> None:
        part = whole.next_part()
        if self._hot.apply([part]) or part.ends:
            del self._building[part.symbol]
