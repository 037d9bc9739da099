"""Depth of one symbol: price levels, the book update id, and what the streams send of it.

REST and every stream read this one view, so a snapshot is never behind what a stream has sent.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

from schemas.events import LevelChange
from schemas.instruments import Instrument
from schemas.orders import Side
from service_runtime.errors import InvariantBroken

SNAPSHOTS_KEPT = 8


class DepthSide:
    """The levels of one side. Prices are kept sorted; a level's JSON text is made once, when asked for."""

    def __init__(self, instrument: Instrument, *, descending: bool) -> None:
        self._instrument = instrument
        self._descending = descending
        self.lots: dict[int, int] = {}
        self._prices: list[int] = []
        self._texts: dict[int, str] = {}

    def set(self, price_ticks: int, quantity_lots: int) -> None:
        known = price_ticks in self.lots
        self._texts.pop(price_ticks, None)
        if quantity_lots:
            self.lots[price_ticks] = quantity_lots
            if not known:
                insort(self._prices, price_ticks)
        elif known:
            del self.lots[price_ticks]
            del self._prices[bisect_left(self._prices, price_ticks)]

    def best(self) -> tuple[int, int] | None:
        """Return (ticks, lots) of the best level."""
        if not self._prices:
            return None
        price = self._prices[-1 if self._descending else 0]
        return price, self.lots[price]

    def prices(self, limit: int) -> Sequence[int]:
        """Return the best `limit` prices, best first."""
        if self._descending:
            return self._prices[: -limit - 1 : -1]
        return self._prices[:limit]

    def level_text(self, price_ticks: int) -> str:
        """Return `["price","quantity"]`; a level that is gone has quantity 0.00000000."""
        text = self._texts.get(price_ticks)
        if text is None:
            lots = self.lots.get(price_ticks, 0)
            instrument = self._instrument
            text = f'["{instrument.price_text(price_ticks)}","{instrument.quantity_text(lots)}"]'
            if lots:
                self._texts[price_ticks] = text
        return text

    def text(self, prices: Iterable[int]) -> str:
        return "[" + ",".join([self.level_text(price) for price in prices]) + "]"


class Depth:
    """Both sides and the id of the last level change, which counts every change from 1 without a gap."""

    def __init__(self, instrument: Instrument) -> None:
        self.bids = DepthSide(instrument, descending=True)
        self.asks = DepthSide(instrument, descending=False)
        self.update_id = 0
        self._snapshots: dict[int, bytes] = {}
        self._snapshots_at = 0

    def load(self, update_id: int, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """Start from levels (ticks, lots) read elsewhere, all of them as of `update_id`."""
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, lots in levels:
                side.set(price, lots)
        self.update_id = update_id

    def apply(self, levels: Sequence[LevelChange], last_update_id: int) -> None:
        """Apply one command's level changes, whose ids end at `last_update_id`.

        Raises InvariantBroken if the ids do not go on where the last command's ended.
        """
        if self.update_id + len(levels) != last_update_id:
            raise InvariantBroken(
                f"{len(levels)} level changes lead from update id {self.update_id}, not to {last_update_id}"
            )
        for level in levels:
            side = self.bids if level.side is Side.BUY else self.asks
            side.set(level.price_ticks, level.quantity_lots)
        self.update_id = last_update_id

    def snapshot_json(self, limit: int) -> bytes:
        """Return `{"lastUpdateId", "bids", "asks"}`, best first; kept until the book changes."""
        if self._snapshots_at != self.update_id or len(self._snapshots) > SNAPSHOTS_KEPT:
            self._snapshots.clear()
            self._snapshots_at = self.update_id
        found = self._snapshots.get(limit)
        if found is None:
            bids = self.bids.text(self.bids.prices(limit))
            asks = self.asks.text(self.asks.prices(limit))
            found = f'{{"lastUpdateId":{self.update_id},"bids":{bids},"asks":{asks}}}'.encode()
            self._snapshots[limit] = found
        return found


class DepthDiff:
    """What changed since the last event of one diff stream."""

    def __init__(self, depth: Depth) -> None:
        self._depth = depth
        self._sent_id = depth.update_id
        self._bids: dict[int, None] = {}
        self._asks: dict[int, None] = {}

    def note(self, levels: Sequence[LevelChange]) -> None:
        """Remember which levels changed; their totals are read when the event is made."""
        for level in levels:
            (self._bids if level.side is Side.BUY else self._asks)[level.price_ticks] = None

    def take_json(self, symbol: str, event_time_ms: int) -> bytes | None:
        """Return the depthUpdate event from after the last one up to now; None if nothing changed."""
        depth = self._depth
        if depth.update_id == self._sent_id:
            return None
        event = (
            f'{{"e":"depthUpdate","E":{event_time_ms},"s":"{symbol}",'
            f'"U":{self._sent_id + 1},"u":{depth.update_id},'
            f'"b":{depth.bids.text(self._bids)},"a":{depth.asks.text(self._asks)}}}'
        )
        self.skip()
        return event.encode()

    def skip(self) -> None:
        """Forget what changed up to now: nobody listens."""
        self._sent_id = self._depth.update_id
        self._bids.clear()
        self._asks.clear()
