"""Snapshots of books as records, and what is found of them at start.

A symbol has two slots that are written in turn, so that one whole snapshot always remains when a write was
broken off. Keys: `SYMBOL/slot` for the BookSnapshot, which is written last, and `SYMBOL/slot/n` for the parts
of a state that is too long for one record. Redis holds the same records under the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import structlog
from msgspec.structs import replace

from matcher import engine_state
from matcher.symbol_engine import SymbolEngine
from schemas.codec import InvalidMessage, NewerMessage, decoder_for, encode, record_hash
from schemas.events import BookSnapshot, BookSnapshotPart
from schemas.topics import BOOK_SNAPSHOTS
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.hot_book import HotBook, HotBookAway

_log = structlog.get_logger("snapshots")
_decode = decoder_for(BookSnapshot)
_decode_part = decoder_for(BookSnapshotPart)
_TAIL = 256
"""Records from the end to look at first; a state of a million orders is in 128."""
SLOTS = (0, 1)
PART_LENGTH = 1_000_000
"""Characters of a state in one record: so few that matching hardly waits while it is written."""


def records_of(
    engine: SymbolEngine, output_offset: int, slot: int, book_hash: str
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, record) of one snapshot in the order in which they are written; the last one names it."""
    taken = replace(engine_state.snapshot(engine, output_offset), book_hash=book_hash, slot=slot)
    length = len(taken.state)
    if length > PART_LENGTH:
        starts = range(0, length, PART_LENGTH)
        for number, start in enumerate(starts):
            name = f"{slot}/{number}"
            part = BookSnapshotPart(
                event_id=f"{taken.event_id}-{number}",
                correlation_id=taken.correlation_id,
                causation_id=taken.event_id,
                occurred_at_ns=taken.occurred_at_ns,
                symbol=taken.symbol,
                checksum=taken.checksum,
                part=number,
                state=taken.state[start : start + PART_LENGTH],
            )
            yield name, encode(part)
        taken = replace(taken, state="", parts=len(starts))
    yield str(slot), encode(taken)


class Snapshots:
    """Reads `book-snapshots` (compacted) and the hot copies in Redis."""

    def __init__(self, log: EventLog, hot: HotBook) -> None:
        self._event_log = log
        self._hot = hot

    def hot(self, symbols: Iterable[str]) -> dict[str, list[BookSnapshot]]:
        """Return the snapshots of each symbol, newest first."""
        found = {}
        try:
            for symbol in symbols:
                taken = [self._hot_slot(symbol, slot) for slot in SLOTS]
                found[symbol] = sorted(filter(None, taken), key=_position, reverse=True)
        except HotBookAway:
            return {}
        return found

    def logged(self, partition: int, symbols: Sequence[str]) -> dict[str, list[BookSnapshot]]:
        """Return the snapshots of each symbol, newest first: at least one, if there is one.

        The topic is read from its end, ever further, until every symbol has a whole one.
        """
        source = TopicPartition(BOOK_SNAPSHOTS, partition)
        low, end = self._event_log.offsets(source)
        length = _TAIL
        while True:
            start = max(low, end - length)
            found = _assembled(self._event_log.read(source, start, end), symbols)
            if start == low or all(found.values()):
                return found
            length *= 8

    def _hot_slot(self, symbol: str, slot: int) -> BookSnapshot | None:
        record = self._hot.snapshot(symbol, str(slot))
        if record is None:
            return None
        return _whole(_readable(record), lambda name: self._hot.snapshot(symbol, name))


def _assembled(batches: Iterable[list[Record]], symbols: Iterable[str]) -> dict[str, list[BookSnapshot]]:
    last: dict[str, bytes] = {}
    taken: dict[str, list[BookSnapshot]] = {symbol: [] for symbol in symbols}
    named: list[bytes] = []
    for batch in batches:
        for record in batch:
            key = (record.key or b"").decode(errors="replace")
            last[key] = record.value
            if key.count("/") < 2:
                named.append(record.value)
    for value in reversed(named):
        head = _readable(value)
        if head is None or head.symbol not in taken:
            continue
        prefix = f"{head.symbol}/"
        whole = _whole(head, {k[len(prefix) :]: v for k, v in last.items() if k.startswith(prefix)}.get)
        if whole is not None:
            taken[head.symbol].append(whole)
    return taken


def _whole(head: BookSnapshot | None, record_named: Callable[[str], bytes | None]) -> BookSnapshot | None:
    """Return the snapshot with its parts put together; None unless all of them are there and right."""
    if head is None:
        return None
    if head.parts:
        texts = []
        for number in range(head.parts):
            record = record_named(f"{head.slot}/{number}")
            try:
                part = None if record is None else _decode_part(record)
            except (InvalidMessage, NewerMessage):
                part = None
            if part is None or (part.checksum, part.part) != (head.checksum, number):
                _log.info("snapshot not whole", symbol=head.symbol, sequence=head.sequence, part=number)
                return None
            texts.append(part.state)
        head = replace(head, state="".join(texts), parts=0)
    if record_hash(head.state.encode()) != head.checksum:
        _log.warning("snapshot damaged", symbol=head.symbol, sequence=head.sequence)
        return None
    return head


def _position(taken: BookSnapshot) -> int:
    return taken.input_offset


def _readable(data: bytes) -> BookSnapshot | None:
    try:
        return _decode(data)
    except (InvalidMessage, NewerMessage) as error:
        _log.warning("snapshot not readable", error=str(error))
        return None
