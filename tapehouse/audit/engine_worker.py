"""One process of matchers for the audit: commands in by standard input, the hashes of their records out.

Its arguments are TOPICS_FILE INSTRUMENTS_FILE.

Frames are four bytes of length and a msgpack document. First comes which book hashes are wanted, then records
of `validated-orders`, each frame answered by one; an empty one ends it, and is answered by the final state.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import msgspec

from matcher.inbox import Inbox
from matcher.partition_books import PartitionBooks
from schemas.codec import record_hash
from schemas.instruments import load_instruments
from schemas.topics import VALIDATED_ORDERS, load_topics
from service_runtime.event_log import Record

Given = tuple[int, int, bytes]
"""partition, offset, value"""
Made = tuple[str, int, str]
"""symbol, sequence, hash of the record"""


class Answer(msgspec.Struct, array_like=True):
    made: list[Made] = []
    books: list[Made] = []
    """symbol, sequence, hash of the book after it"""


class Final(msgspec.Struct, array_like=True):
    symbol: str
    sequence: int
    last_hash: str
    book_hash: str
    open_orders: int


_encode = msgspec.msgpack.Encoder().encode
_given = msgspec.msgpack.Decoder(list[Given]).decode
_wanted = msgspec.msgpack.Decoder(dict[str, set[int]]).decode


def write_frame(out: IO[bytes], document: object) -> None:
    data = _encode(document)
    out.write(len(data).to_bytes(4, "big") + data)
    out.flush()


def read_frame(source: IO[bytes]) -> bytes:
    """Raises EOFError."""
    head = source.read(4)
    if len(head) < 4:
        raise EOFError
    return source.read(int.from_bytes(head, "big"))


class Engines:
    """Every partition that it is given records of, from its empty books on."""

    def __init__(self, topics_file: Path, instruments_file: Path, wanted: dict[str, set[int]]) -> None:
        self._topics = load_topics(topics_file)
        self._instruments = load_instruments(instruments_file)
        self._inbox = Inbox(self._topics, self._instruments)
        self._wanted = wanted
        self._books: dict[int, PartitionBooks] = {}

    def apply(self, records: list[Given]) -> Answer:
        answer = Answer([], [])
        for partition, offset, value in records:
            books = self._books_of(partition)
            done, _ = books.handle(self._inbox, [Record(VALIDATED_ORDERS, partition, offset, value)])
            for symbol, matched in done.items():
                answer.made += [(symbol, each.record.sequence, record_hash(each.data)) for each in matched]
                engine = books.engines[symbol]
                if engine.sequence in self._wanted.get(symbol, ()):
                    answer.books.append((symbol, engine.sequence, engine.book_hash()))
        return answer

    def finals(self) -> list[Final]:
        return [
            Final(symbol, e.sequence, e.last_hash, e.book_hash(), len(e.book.orders))
            for books in self._books.values()
            for symbol, e in books.engines.items()
        ]

    def _books_of(self, partition: int) -> PartitionBooks:
        books = self._books.get(partition)
        if books is None:
            symbols = [s for s in self._topics.symbols_of_partition(partition) if self._instruments.get(s)]
            books = self._books[partition] = PartitionBooks.empty(partition, symbols, self._instruments)
        return books


def main() -> int:
    source, out = sys.stdin.buffer, sys.stdout.buffer
    engines = Engines(Path(sys.argv[1]), Path(sys.argv[2]), _wanted(read_frame(source)))
    while records := _given(read_frame(source)):
        write_frame(out, engines.apply(records))
    write_frame(out, engines.finals())
    return 0
