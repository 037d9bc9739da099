"""An owner's look at its own output: has anybody else written there, and is it what we would have?

Where the partition grew by as many records as we had stored, they are ours. Where it grew by more, all that
came since the last look is read and compared with the hashes of our own records (RELIABILITY R5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from matcher.symbol_engine import Matched
from schemas.codec import record_hash
from schemas.topics import MATCHED_EVENTS
from service_runtime.errors import ChainBroken
from service_runtime.event_log import EventLog, Record, TopicPartition

_REMEMBERED = 20_000
"""So many of a symbol's last records can be compared; of those that another owner writes ahead of us too."""


class _Seen(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    sequence: int


_decode = msgspec.json.Decoder(_Seen).decode


class OutputWatch:
    """Watches one partition of `matched-events`. `end` is where it ended at the last look."""

    def __init__(
        self, log: EventLog, partition: int, end: int, shown: Mapping[str, int] | None = None
    ) -> None:
        """`end`: so far its records were compared; `shown`: the highest sequences among them, where they are
        ahead of what was computed."""
        self._event_log = log
        self._output = TopicPartition(MATCHED_EVENTS, partition)
        self._own: dict[str, _Own] = {}
        self.highest = dict(shown or {})
        """The highest sequence of each symbol that others were seen to write."""
        self._written = 0
        self.end = end

    def floor(self, symbol: str, sequence: int) -> int | None:
        """Return a place that is not behind the next record of the symbol, nor behind what we write now.

        None: another owner is ahead of us, and that record stands somewhere before.
        """
        return self.end if self.highest.get(symbol, 0) <= sequence else None

    def wrote(self, symbol: str, made: Sequence[Matched], last_hash: str) -> None:
        """Note records handed to the log. Raises ChainBroken if other ones of another owner stand there."""
        self._written += len(made)
        hashes = [each.record.previous_hash for each in made]
        own = self._own.get(symbol)
        if own is None:
            own = self._own[symbol] = _Own(made[0].record.sequence)
        elif not own.last_hash:  # others wrote before we did: what we remember begins here
            own.first = made[0].record.sequence
            own.ahead = {s: found for s, found in own.ahead.items() if s >= own.first}
        own.add(hashes, last_hash)
        if own.ahead:
            for sequence in sorted(own.ahead.keys() & range(made[0].record.sequence, own.last_sequence + 1)):
                self._check(
                    symbol, own, sequence, own.ahead.pop(sequence), "a record that stood there before"
                )

    def look(self) -> bool:
        """Compare what came since the last look; everything we wrote must be stored. Raises ChainBroken.

        Tell whether others write there too.
        """
        end = self._output_end()
        others = end - self.end != self._written
        if others:
            for batch in self._event_log.read(self._output, self.end, end):
                self._compare(batch)
        self.end, self._written = end, 0
        for own in self._own.values():
            own.forget()
        return others

    def _compare(self, records: Iterable[Record]) -> None:
        for record in records:
            try:
                seen = _decode(record.value)
            except msgspec.DecodeError:
                continue  # whoever reads the topic buries it
            own = self._own.get(seen.symbol)
            if own is None:
                own = self._own[seen.symbol] = _Own(1)
            found = record_hash(record.value)
            self.highest[seen.symbol] = max(seen.sequence, self.highest.get(seen.symbol, 0))
            if seen.sequence > own.last_sequence:
                if len(own.ahead) < _REMEMBERED:
                    own.ahead[seen.sequence] = found
            else:
                self._check(seen.symbol, own, seen.sequence, found, f"offset {record.offset}")

    def _check(self, symbol: str, own: _Own, sequence: int, found: str, where: str) -> None:
        expected = own.hash_of(sequence)
        if expected is not None and expected != found:
            raise ChainBroken(
                f"{self._output.topic}[{self._output.partition}] {where}: {symbol} sequence {sequence}: "
                f"we made {expected}, the log holds {found}"
            )

    def _output_end(self) -> int:
        return self._event_log.offsets(self._output)[1]


class _Own:
    """Hashes of the symbol's records from `first` on; the last of them is `last_hash`."""

    __slots__ = ("ahead", "first", "hashes", "last_hash")

    def __init__(self, first: int) -> None:
        self.first = first
        self.hashes: list[str] = []
        """Of all but the last: each stands in the record after it."""
        self.last_hash = ""
        self.ahead: dict[int, str] = {}

    @property
    def last_sequence(self) -> int:
        return self.first + len(self.hashes) if self.last_hash else self.first - 1

    def add(self, previous_hashes: list[str], last_hash: str) -> None:
        self.hashes += previous_hashes if self.last_hash else previous_hashes[1:]
        self.last_hash = last_hash

    def hash_of(self, sequence: int) -> str | None:
        """Return None for a record that is older than what is remembered."""
        place = sequence - self.first
        if place < 0:
            return None
        return self.hashes[place] if place < len(self.hashes) else self.last_hash

    def forget(self) -> None:
        drop = len(self.hashes) - _REMEMBERED
        if drop > 0:
            del self.hashes[:drop]
            self.first += drop
