"""Writes snapshots while matching goes on: a forked child encodes them, the parent puts them out in pieces.

The child has a frozen copy of the books, touches no client, and writes frames into memory that both share.
Where there is no fork, or little to encode, it happens in place.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import BinaryIO

import msgspec
import structlog

from matcher.forked import Child, fork
from matcher.partition_books import PartitionBooks
from matcher.snapshots import records_of
from schemas.topics import BOOK_SNAPSHOTS
from service_runtime.event_log import EventLog
from service_runtime.failpoints import Failpoint, reach
from service_runtime.hot_book import HotBook, HotBookAway

_log = structlog.get_logger("snapshots")
_PAUSE = 4
"""After a snapshot none begins for so many times as long as it took."""
BookHash = tuple[int, str]
"""Sequence and book hash."""


class _Frame(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the child says of each record before its bytes, and, with no name, at the end."""

    symbol: str
    name: str
    length: int
    sequence: int
    book_hash: str


_encode_frame = msgspec.json.Encoder().encode
_decode_frame = msgspec.json.Decoder(_Frame).decode


class SnapshotWriter:
    """One snapshot of one partition at a time. Every call is made from the matcher's thread."""

    def __init__(self, log: EventLog, hot: HotBook, fork_above: int) -> None:
        self._event_log = log
        self._hot = hot
        self._fork_above = fork_above
        self._child: Child | None = None
        self._partition = -1
        self._pieces: Iterator[None] | None = None
        self._began = self._not_before = 0.0
        self.slots: dict[str, int] = {}
        """The slot of each symbol's last snapshot."""
        self.hashes: dict[str, BookHash] = {}
        """As of the last snapshot, or of recovery."""

    @property
    def busy(self) -> bool:
        return self._child is not None or self._pieces is not None

    def begin(self, books: PartitionBooks) -> bool:
        """Take a snapshot of all symbols, whose output must be stored; False: not now.

        The previous one must be done, and some time ago if it took long.
        """
        if self.busy or time.monotonic() < self._not_before:
            return False
        self._began = time.monotonic()
        self._partition = books.partition
        books.note_position()
        if sum(len(e.book.orders) for e in books.engines.values()) > self._fork_above:
            self._child = fork(lambda out: self._encode(books, out))
        if self._child is None:
            self._write_at_once(books)
        return True

    def step(self, budget_s: float) -> None:
        """Put out what is ready, for about so long."""
        end = time.monotonic() + budget_s
        if self._child is not None and self._child.ended():
            child, self._child = self._child, None
            self._pieces = self._put_out(child)
        while self._pieces is not None and time.monotonic() < end:
            if next(self._pieces, self) is self:
                self._pieces = None
                took = time.monotonic() - self._began
                self._not_before = time.monotonic() + _PAUSE * took
                _log.info("snapshot written", seconds=round(took, 3))

    def write_now(self, books: PartitionBooks) -> None:
        """Write one in place; none may be under way."""
        self._partition = books.partition
        books.note_position()
        self._write_at_once(books)

    def drop(self) -> None:
        """Give up what is under way: the other slot still holds the snapshot before."""
        if self._child is not None:
            self._child.kill()
        self._child = self._pieces = None

    # -- inside -----------------------------------------------------------------------------------

    def _frames(self, books: PartitionBooks) -> Iterator[tuple[_Frame, bytes]]:
        for symbol, engine in books.engines.items():
            slot = 1 - self.slots.get(symbol, 1)
            book_hash = engine.book_hash()
            for name, record in records_of(engine, books.output_floors.get(symbol, 0), slot, book_hash):
                yield _Frame(symbol, name, len(record), engine.sequence, book_hash), record

    def _encode(self, books: PartitionBooks, out: BinaryIO) -> None:
        for frame, record in self._frames(books):
            reach(Failpoint.MATCHER_IN_SNAPSHOT_CHILD)
            out.write(_encode_frame(frame) + b"\n")
            out.write(record)

    def _write_at_once(self, books: PartitionBooks) -> None:
        for frame, record in self._frames(books):
            self._put(books.partition, frame, record)

    def _put_out(self, child: Child) -> Iterator[None]:
        with child.out as out:
            if child.failed:
                _log.error("snapshot not encoded", partition=self._partition)
                return
            out.seek(0)
            while line := out.readline():
                frame = _decode_frame(line)
                self._put(self._partition, frame, out.read(frame.length))
                yield

    def _put(self, partition: int, frame: _Frame, record: bytes) -> None:
        key = f"{frame.symbol}/{frame.name}"
        self._event_log.append(BOOK_SNAPSHOTS, partition, record, key.encode())
        reach(Failpoint.MATCHER_IN_SNAPSHOT)
        try:
            self._hot.put_snapshot(frame.symbol, frame.name, record)
        except HotBookAway:
            _log.info("hot copy of the snapshot not written", symbol=frame.symbol)
        if "/" not in frame.name:
            self.slots[frame.symbol] = int(frame.name)
            self.hashes[frame.symbol] = (frame.sequence, frame.book_hash)
