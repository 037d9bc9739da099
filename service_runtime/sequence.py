"""The reader's check: every symbol's records are applied once, in order, without a gap.

One implementation for recorder, market data, replay and audit (DESIGN section 3 point 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.codec import record_hash
from schemas.events import GENESIS_HASH, CommandMatched, TradeExecuted
from service_runtime.errors import ChainBroken, SequenceGap


@dataclass(slots=True)
class MatchedPosition:
    """The last record applied of one symbol's `matched-events`."""

    sequence: int = 0
    last_hash: str = GENESIS_HASH


class MatchedSequence:
    """Decides for each CommandMatched whether it is next, seen before, or wrong."""

    def __init__(self, positions: Mapping[str, MatchedPosition] | None = None) -> None:
        self.positions: dict[str, MatchedPosition] = dict(positions or {})

    def accept(self, event: CommandMatched, data: bytes) -> bool:
        """Return True if the event is the symbol's next, False if it was applied before.

        `data` are the bytes of the record. Raises SequenceGap or ChainBroken.
        """
        position = self.positions.get(event.symbol)
        if position is None:
            position = self.positions[event.symbol] = MatchedPosition()
        if event.sequence <= position.sequence:
            if event.sequence == position.sequence and record_hash(data) != position.last_hash:
                raise ChainBroken(f"{event.symbol} {event.sequence}: a repeated record has other bytes")
            return False
        if event.sequence != position.sequence + 1:
            raise SequenceGap(
                f"matched-events {event.symbol}: expected sequence {position.sequence + 1}, "
                f"found {event.sequence}"
            )
        if event.previous_hash != position.last_hash:
            raise ChainBroken(
                f"matched-events {event.symbol} {event.sequence}: follows {event.previous_hash}, "
                f"not {position.last_hash}"
            )
        position.sequence = event.sequence
        position.last_hash = record_hash(data)
        return True


class TradeSequence:
    """The same for `trade-execution`, by trade id."""

    def __init__(self, positions: Mapping[str, int] | None = None) -> None:
        self.positions: dict[str, int] = dict(positions or {})

    def accept(self, trade: TradeExecuted) -> bool:
        """Return True if the trade is the symbol's next, False if applied before. Raises SequenceGap."""
        last = self.positions.get(trade.symbol, 0)
        if trade.trade_id <= last:
            return False
        if trade.trade_id != last + 1:
            raise SequenceGap(
                f"trade-execution {trade.symbol}: expected trade {last + 1}, found {trade.trade_id}"
            )
        self.positions[trade.symbol] = trade.trade_id
        return True
