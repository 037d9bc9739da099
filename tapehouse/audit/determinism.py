"""I7: `validated-orders` through empty books gives `matched-events`, byte for byte, and the books' hashes.

The matchers run in processes of their own, each with another PYTHONHASHSEED.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from schemas.codec import InvalidMessage, decoder_for, record_hash
from schemas.events import BookSnapshot
from schemas.topics import BOOK_SNAPSHOTS, MATCHED_EVENTS, VALIDATED_ORDERS, TopicMap, load_topics
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.settings import ServiceSettings
from tapehouse.audit.difference import differs
from tapehouse.audit.engine_worker import Answer, Final, Given, read_frame, write_frame

_CHUNK = 1_000
_WORKER = "from tapehouse.audit.engine_worker import main; raise SystemExit(main())"
_answer = msgspec.msgpack.Decoder(Answer).decode
_finals = msgspec.msgpack.Decoder(list[Final]).decode
_snapshot = decoder_for(BookSnapshot)


class _Seen(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    sequence: int


_seen = msgspec.json.Decoder(_Seen).decode


@dataclass
class Replayed:
    """What one replay came to."""

    records: int = 0
    books: dict[str, Final] = field(default_factory=dict)
    compared: dict[str, int] = field(default_factory=dict)
    """symbol -> sequence of the newest snapshot whose book hash is equal"""


def replay_books(
    settings: ServiceSettings,
    log: EventLog,
    processes: int,
    first_seed: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Replayed:
    """Replay every partition and compare. Raises Difference (I7, or I6 for the hash of a book)."""
    topics = load_topics(settings.topics_file)
    partitions = range(topics.topics[VALIDATED_ORDERS].partitions)
    comparisons = {p: _Comparison(log, topics, p) for p in partitions}  # ends first: their input is older
    hashes = _published(log, topics)
    wanted: dict[str, list[int]] = {}
    for symbol, sequence in hashes:
        wanted.setdefault(symbol, []).append(sequence)
    result = Replayed()
    with ExitStack() as stack:
        workers = [
            stack.enter_context(_worker(settings, wanted, first_seed + n)) for n in range(max(processes, 1))
        ]
        owners = {p: workers[p % len(workers)] for p in partitions}
        inputs = {p: _chunks(log, p) for p in partitions}
        while inputs:
            inputs = _step(inputs, owners, comparisons, hashes, result, progress)
        for worker in workers:
            _send(worker, [])
            result.books |= {final.symbol: final for final in _finals(_receive(worker))}
    for comparison in comparisons.values():
        comparison.finish()
    return result


def _step(
    inputs: dict[int, Iterator[list[Given]]],
    owners: Mapping[int, subprocess.Popen[bytes]],
    comparisons: Mapping[int, _Comparison],
    hashes: Mapping[tuple[str, int], str],
    result: Replayed,
    progress: Callable[[int], None],
) -> dict[int, Iterator[list[Given]]]:
    """Give every process a chunk, take the answers; return the inputs that are not at their end."""
    left = {}
    by_worker: dict[int, list[tuple[int, list[Given]]]] = {}
    for partition, chunks in inputs.items():
        if (chunk := next(chunks, None)) is not None:
            left[partition] = chunks
            by_worker.setdefault(id(owners[partition]), []).append((partition, chunk))
    rounds = max((len(given) for given in by_worker.values()), default=0)
    for number in range(rounds):
        given = [chunks[number] for chunks in by_worker.values() if number < len(chunks)]
        for partition, chunk in given:
            _send(owners[partition], chunk)
        for partition, chunk in given:
            answer = _answer(_receive(owners[partition]))
            result.records += comparisons[partition].take(answer)
            for symbol, sequence, book_hash in answer.books:
                if hashes[symbol, sequence] != book_hash:
                    differs(
                        "I6",
                        f"{BOOK_SNAPSHOTS} {symbol} sequence {sequence}: the matcher's book has the hash"
                        f" {hashes[symbol, sequence]}, the replay's {book_hash}",
                    )
                result.compared[symbol] = max(sequence, result.compared.get(symbol, 0))
            progress(len(chunk))
    return left


class _Comparison:
    """One partition's `matched-events`, as far as they go, against what the replay makes."""

    def __init__(self, log: EventLog, topics: TopicMap, partition: int) -> None:
        source = TopicPartition(MATCHED_EVENTS, partition)
        self._symbols = set(topics.symbols_of_partition(partition))
        self._log = self._first_of_each(log, source, log.offsets(source)[1])
        self._head: tuple[_Seen, Record] | None = None
        self._made: dict[str, deque[tuple[int, str]]] = {s: deque() for s in self._symbols}

    def take(self, answer: Answer) -> int:
        """Compare as much as there is on both sides; return how many records were."""
        for symbol, sequence, digest in answer.made:
            self._made[symbol].append((sequence, digest))
        compared = 0
        while (head := self._peek()) is not None and self._made[head[0].symbol]:
            seen, record = head
            sequence, digest = self._made[seen.symbol].popleft()
            if (sequence, digest) != (seen.sequence, record_hash(record.value)):
                differs(
                    "I7",
                    f"{_place(record)}: {seen.symbol} sequence {seen.sequence} has the hash"
                    f" {record_hash(record.value)}, replay makes sequence {sequence} with {digest}",
                )
            self._head = None
            compared += 1
        return compared

    def finish(self) -> None:
        if (head := self._peek()) is not None:
            differs("I7", f"{_place(head[1])}: {head[0].symbol} {head[0].sequence} follows from no command")

    def _peek(self) -> tuple[_Seen, Record] | None:
        if self._head is None:
            self._head = next(self._log, None)
        return self._head

    def _first_of_each(
        self, log: EventLog, source: TopicPartition, end: int
    ) -> Iterator[tuple[_Seen, Record]]:
        last: dict[str, int] = {}
        for batch in log.read(source, 0, end):
            for record in batch:
                try:
                    seen = _seen(record.value)
                except msgspec.DecodeError:
                    continue
                if seen.symbol in self._symbols and seen.sequence > last.get(seen.symbol, 0):
                    last[seen.symbol] = seen.sequence
                    yield seen, record


def _published(log: EventLog, topics: TopicMap) -> dict[tuple[str, int], str]:
    """Return the book hashes that the matcher published with its snapshots, by symbol and sequence."""
    found: dict[tuple[str, int], str] = {}
    for partition in range(topics.topics[BOOK_SNAPSHOTS].partitions):
        source = TopicPartition(BOOK_SNAPSHOTS, partition)
        low, high = log.offsets(source)
        for batch in log.read(source, low, high):
            for record in batch:
                try:
                    taken = _snapshot(record.value)
                except InvalidMessage:
                    continue  # a part of one
                if taken.book_hash is not None and taken.sequence:
                    found[taken.symbol, taken.sequence] = taken.book_hash
    return found


def _chunks(log: EventLog, partition: int) -> Iterator[list[Given]]:
    source = TopicPartition(VALIDATED_ORDERS, partition)
    for batch in log.read(source, 0, log.offsets(source)[1]):
        for start in range(0, len(batch), _CHUNK):
            yield [(partition, r.offset, r.value) for r in batch[start : start + _CHUNK]]


@contextmanager
def _worker(
    settings: ServiceSettings, wanted: Mapping[str, list[int]], seed: int
) -> Iterator[subprocess.Popen[bytes]]:
    files = [str(Path(f).resolve()) for f in (settings.topics_file, settings.instruments_file)]
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, *files],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
    )
    try:
        _send(process, wanted)
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.kill()
        process.wait()


def _send(process: subprocess.Popen[bytes], document: object) -> None:
    assert process.stdin is not None
    write_frame(process.stdin, document)


def _receive(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return read_frame(process.stdout)


def _place(record: Record) -> str:
    return f"{record.topic}[{record.partition}] offset {record.offset}"
