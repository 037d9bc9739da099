"""Recovery of one partition: snapshot, replay of the input, comparison with the output that is there.

What `matched-events` holds is what happened. Every record the replay makes must be in it, byte for
byte, up to its end; so each recovery is an audit (DESIGN section 3 point 4, RELIABILITY R2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

import msgspec
import structlog

from matcher.engine_state import UnusableState, restore
from matcher.inbox import Inbox, Poison
from matcher.partition_books import PartitionBooks
from matcher.snapshots import Snapshots
from matcher.symbol_engine import Matched, SymbolEngine
from schemas.codec import InvalidMessage, decoder_for, record_hash
from schemas.events import BookSnapshot, TradeExecuted
from schemas.instruments import Instruments
from schemas.topics import MATCHED_EVENTS, TRADE_EXECUTION, VALIDATED_ORDERS, TopicMap
from service_runtime.errors import ChainBroken, Fault, LogFault, PositionLost
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.failpoints import Failpoint, reach

_log = structlog.get_logger("recovery")
_TAIL = 2_000
_REMEMBERED = 10_000
"""So many replayed records a symbol are kept to check repeated ones against."""
_decode_trade = decoder_for(TradeExecuted)


class _Seen(msgspec.Struct, frozen=True, gc=False):
    """As much of a CommandMatched as the comparison needs."""

    symbol: str
    sequence: int
    input_offset: int


_decode_seen = msgspec.json.Decoder(_Seen).decode


@dataclass(slots=True)
class Recovered:
    """`records` and `trades` did not get out, in order; of `replies` nobody knows; `poison` was met."""

    books: PartitionBooks
    records: list[Matched] = field(default_factory=list)
    trades: list[TradeExecuted] = field(default_factory=list)
    replies: deque[Matched] = field(default_factory=deque)
    poison: list[Poison] = field(default_factory=list)
    compared: int = 0
    output_end: int = 0
    """So far `matched-events` was compared,"""
    trades_end: int = 0
    """and so far was looked into `trade-execution`."""
    shown: dict[str, int] = field(default_factory=dict)
    """Sequences found in `matched-events` that are ahead of the books,"""
    shown_trades: dict[str, int] = field(default_factory=dict)
    """and trade ids in `trade-execution`."""


class Recovery:
    """Recovers partitions. Knows how to look into the log; writes nothing."""

    def __init__(
        self,
        log: EventLog,
        snapshots: Snapshots,
        topics: TopicMap,
        instruments: Instruments,
        resent_replies: int,
    ) -> None:
        self._event_log = log
        self._snapshots = snapshots
        self._topics = topics
        self._instruments = instruments
        self._inbox = Inbox(topics, instruments)
        self._resent_replies = resent_replies

    def recover(self, partition: int, retained: PartitionBooks | None = None) -> Recovered:
        """Start from what this process still has, else the hot copies, else the topic's, else nothing.

        A start that disagrees with the log is dropped for the next; the last one's error is raised:
        PositionLost or ChainBroken, with what was expected and what was found.
        """
        error: Fault | None = None
        for name, books in self._starts(partition, retained):
            try:
                recovered = _Replay(self, partition, books).run()
            except (PositionLost, ChainBroken) as fault:
                _log.error("start not usable", partition=partition, start=name, fault=str(fault))
                error = fault
                continue
            _log.info(
                "partition recovered",
                partition=partition,
                start=name,
                next_offset=recovered.books.next_offset,
                compared=recovered.compared,
                sequences={s: e.sequence for s, e in recovered.books.engines.items()},
            )
            return recovered
        raise error or LogFault(f"partition {partition} has no start")

    def _starts(
        self, partition: int, retained: PartitionBooks | None
    ) -> Iterator[tuple[str, PartitionBooks]]:
        if retained is not None:
            yield "memory", retained
        symbols = [s for s in self._topics.symbols_of_partition(partition) if self._instruments.get(s)]
        hot = self._snapshots.hot(symbols)
        if symbols and all(hot.get(symbol) for symbol in symbols):
            yield "hot snapshot", self.books(partition, symbols, hot)
        logged = self._snapshots.logged(partition, symbols)
        if any(hot.values()):
            both = {s: sorted([*hot[s], *logged[s]], key=_position, reverse=True) for s in symbols}
            yield "hot and logged snapshot", self.books(partition, symbols, both)
        if any(logged.values()):
            yield "snapshot", self.books(partition, symbols, logged)
        yield "nothing", self.books(partition, symbols, {})

    def books(
        self, partition: int, symbols: list[str], found: Mapping[str, list[BookSnapshot]]
    ) -> PartitionBooks:
        """Return books as the snapshots say, each the first that is good; empty where there is none."""
        books = PartitionBooks.empty(partition, symbols, self._instruments)
        for symbol in symbols:
            for taken in found.get(symbol, []):
                engine = SymbolEngine(self._instruments[symbol])
                try:
                    self._restore(engine, taken, partition)
                except UnusableState as error:
                    _log.warning("snapshot not usable", symbol=symbol, error=str(error))
                    continue
                books.engines[symbol] = engine
                books.output_floors[symbol] = taken.output_offset
                books.slots[symbol] = taken.slot
                break
        books.next_offset = 1 + min((e.input_offset for e in books.engines.values()), default=-1)
        return books

    def _restore(self, engine: SymbolEngine, taken: BookSnapshot, partition: int) -> None:
        """Raises UnusableState."""
        if taken.input_partition != partition:
            raise UnusableState(f"of partition {taken.input_partition}")
        restore(engine, taken)
        if taken.book_hash is not None and engine.book_hash() != taken.book_hash:
            raise UnusableState("the book hash is wrong")

    @property
    def log(self) -> EventLog:
        return self._event_log

    @property
    def inbox(self) -> Inbox:
        return self._inbox

    @property
    def resent_replies(self) -> int:
        return self._resent_replies


def _position(taken: BookSnapshot) -> int:
    return taken.input_offset


class _Replay:
    """One try: replays the input just as far as the output goes, comparing record by record."""

    def __init__(self, recovery: Recovery, partition: int, books: PartitionBooks) -> None:
        self._event_log, self._inbox = recovery.log, recovery.inbox
        self._input = TopicPartition(VALIDATED_ORDERS, partition)
        self._output = TopicPartition(MATCHED_EVENTS, partition)
        self._books = books
        self._result = Recovered(books, replies=deque(maxlen=recovery.resent_replies))
        self._symbols = {symbol: _Compared(engine) for symbol, engine in books.engines.items()}

    def run(self) -> Recovered:
        _, output_end = self._event_log.offsets(self._output)  # first: the input it came from is older
        self._result.output_end = output_end
        partition, symbols = self._books.partition, self._books.engines.keys()
        self._last_trades, self._result.trades_end = highest_trades(self._event_log, partition, symbols)
        low, self._input_end = self._event_log.offsets(self._input)
        start = self._books.next_offset
        if not low <= start <= self._input_end:
            raise PositionLost(*self._input, start, f"{low} to {self._input_end}")
        replay = self._replay(start)
        for record in self._read_output(output_end):
            self._compare(record, replay)
        for symbol, compared in self._symbols.items():
            if not compared.start_found:
                raise ChainBroken(
                    f"{symbol}: the log does not hold the start, sequence {compared.started_at}"
                )
            self._result.records += compared.not_found()
        return self._result

    def _read_output(self, end: int) -> Iterator[Record]:
        low, _ = self._event_log.offsets(self._output)
        start = min((self._books.output_floors.get(symbol, 0) for symbol in self._symbols), default=0)
        if start > end:
            raise PositionLost(*self._output, start, f"{low} to {end}")
        for batch in self._event_log.read(self._output, max(start, low), end):
            yield from batch

    def _replay(self, start: int) -> Iterator[Record]:
        """Handle one input record a step."""
        for batch in self._event_log.read(self._input, start, self._input_end):
            for record in batch:
                reach(Failpoint.MATCHER_IN_RECOVERY)
                done, poison = self._books.handle(self._inbox, [record])
                self._result.poison += poison
                for symbol, matched in done.items():
                    for each in matched:
                        self._keep(symbol, each)
                yield record

    def _keep(self, symbol: str, matched: Matched) -> None:
        self._symbols[symbol].made[matched.record.sequence] = matched
        last = self._last_trades.get(symbol, 0)
        self._result.trades += [trade for trade in matched.trades if trade.trade_id > last]
        if matched.record.reply_partition is not None:
            self._result.replies.append(matched)

    def _compare(self, record: Record, replay: Iterator[Record]) -> None:
        place = f"{record.topic}[{record.partition}] {record.offset}"
        try:
            seen = _decode_seen(record.value)
        except msgspec.DecodeError as error:
            self._result.poison.append(Poison(record, "decode_error", str(error)))
            return
        compared = self._symbols.get(seen.symbol)
        if compared is None:
            self._result.poison.append(Poison(record, "wrong_partition", seen.symbol))
            return
        while compared.engine.sequence < seen.sequence:
            if next(replay, None) is None:
                raise PositionLost(*self._input, seen.input_offset, f"end {self._input_end}")
        expected, found = compared.hash_at(seen.sequence), record_hash(record.value)
        if expected is not None and expected != found:
            raise ChainBroken(
                f"{place}: {seen.symbol} sequence {seen.sequence}: "
                f"replay gives {expected}, the log holds {found}"
            )
        if compared.note(seen.sequence):
            self._books.output_floors[seen.symbol] = record.offset
            self._result.compared += 1


def highest_trades(log: EventLog, partition: int, symbols: Set[str]) -> tuple[dict[str, int], int]:
    """Return each symbol's highest trade id in the tail of `trade-execution`, and where that ends.

    The last record may be an old duplicate. A value too low only makes duplicates; it is never
    too high, and every trade below it is there, since each owner writes them in order.
    """
    source = TopicPartition(TRADE_EXECUTION, partition)
    low, end = log.offsets(source)
    highest: dict[str, int] = {}
    length = _TAIL
    while True:
        start = max(low, end - length)
        for batch in log.read(source, start, end):
            for record in batch:
                try:
                    trade = _decode_trade(record.value)
                except InvalidMessage:
                    continue  # the readers of the topic bury it
                highest[trade.symbol] = max(trade.trade_id, highest.get(trade.symbol, 0))
        if start == low or highest.keys() >= symbols:
            return highest, end
        length *= 8


class _Compared:
    """How far one symbol's replay was found in the output."""

    def __init__(self, engine: SymbolEngine) -> None:
        self.engine = engine
        self.started_at = self._found = engine.sequence
        self.start_found = engine.sequence == 0
        self._start_hash = engine.last_hash
        self.made: dict[int, Matched] = {}

    def hash_at(self, sequence: int) -> str | None:
        """Return what the record must hash to; None for one older than what is remembered."""
        if sequence == self.started_at:
            return self._start_hash
        matched = self.made.get(sequence)
        return None if matched is None else record_hash(matched.data)

    def note(self, sequence: int) -> bool:
        """Note a record that is as it must be; tell whether it is the first of its sequence."""
        self.start_found = self.start_found or sequence == self.started_at
        if sequence <= self._found:
            return False
        self._found = sequence
        self.made.pop(sequence - _REMEMBERED, None)
        return True

    def not_found(self) -> list[Matched]:
        """Return what was replayed beyond the end of the output (another symbol's output went further)."""
        return [matched for sequence, matched in self.made.items() if sequence > self._found]
