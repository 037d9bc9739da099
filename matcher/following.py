"""A partition that a standby follows: what it has computed against what the owner wrote, byte by byte."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from matcher.inbox import Poison
from matcher.recovery import Recovered
from matcher.symbol_engine import Matched, SymbolEngine
from schemas.codec import record_hash
from schemas.events import TradeExecuted
from schemas.topics import VALIDATED_ORDERS
from service_runtime.errors import ChainBroken, SequenceGap
from service_runtime.event_log import Record


class _Seen(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    sequence: int


class _SeenTrade(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    trade_id: int


_decode = msgspec.json.Decoder(_Seen).decode
_decode_trade = msgspec.json.Decoder(_SeenTrade).decode


class Following:
    """Nothing here is written; `missing` is what a take-over has to write."""

    def __init__(self, recovered: Recovered, kept: int, longest_batch: int) -> None:
        """`kept` of a symbol's last records are kept though they were shown: nobody knows whether their
        replies got out. An owner has at most `longest_batch` input records under way."""
        self.books = recovered.books
        self._longest_batch = longest_batch
        self._output_end = recovered.output_end
        self._poison: deque[Poison] = deque()
        self._replies: deque[Matched] = deque(recovered.replies, maxlen=kept)
        self._lines = {symbol: _Line(engine, kept) for symbol, engine in self.books.engines.items()}
        self._by_key = {symbol.encode(): line for symbol, line in self._lines.items()}
        for each in recovered.records:
            self._lines[each.record.symbol].pending.append(each)
        for trade in recovered.trades:
            self._lines[trade.symbol].trades.append(trade)
        for line in self._lines.values():
            line.shown -= len(line.pending)
            line.last_trade -= len(line.trades)
        for symbol, sequence in recovered.shown.items():
            if symbol not in self._lines:
                continue
            self._lines[symbol].shown = max(sequence, self._lines[symbol].shown)
        for symbol, trade_id in recovered.shown_trades.items():
            if symbol in self._lines:
                self._lines[symbol].last_trade = max(trade_id, self._lines[symbol].last_trade)
        self._note_poison(recovered.poison)

    @property
    def waits(self) -> bool:
        """True while something that was computed has not been shown."""
        return any(line.pending or line.trades for line in self._lines.values())

    @property
    def may_bury(self) -> bool:
        """True while it remembers poison of which nobody knows whether the owner has buried it."""
        return bool(self._poison)

    def computed(self, done: Mapping[str, Sequence[Matched]], poison: Iterable[Poison]) -> None:
        """Note what came of input. Raises ChainBroken where the owner has written something else."""
        for symbol, made in done.items():
            line = self._lines[symbol]
            for each in made:
                line.made(each)
                if each.record.reply_partition is not None:
                    self._replies.append(each)
        self._note_poison(poison)

    def matched_shown(self, record: Record) -> bool:
        """Compare a record of the owner's output; tell whether it is new. Raises ChainBroken, SequenceGap."""
        self._output_end = record.offset + 1
        line = self._by_key.get(record.key or b"")
        if line is None or not line.pending or line.pending[0].data != record.value:
            try:
                seen = _decode(record.value)
                line = self._lines[seen.symbol]
            except (msgspec.DecodeError, KeyError):
                return False  # whoever reads the topic buries it
            if not line.compare(seen.sequence, record):
                return False
        else:
            line.confirm()
        if line.shown <= line.engine.sequence:  # else it is not this one that the books end with
            self.books.output_floors[line.engine.symbol] = record.offset
        return True

    def trade_shown(self, record: Record) -> bool:
        """Note a record of the owner's trades; tell whether it is new."""
        try:
            seen = _decode_trade(record.value)
            line = self._lines[seen.symbol]
        except (msgspec.DecodeError, KeyError):
            return False
        if seen.trade_id <= line.last_trade:
            return False
        line.last_trade = seen.trade_id
        while line.trades and line.trades[0].trade_id <= seen.trade_id:
            line.trades.popleft()
        return True

    def missing(self) -> Recovered:
        """Return what may not have got out, as a recovery would."""
        shown = {symbol: line.shown for symbol, line in self._lines.items()}
        missing = Recovered(self.books, poison=list(self._poison), output_end=self._output_end, shown=shown)
        missing.replies.extend(r for r in self._replies if r.record.sequence <= self.shown(r.record.symbol))
        for line in self._lines.values():
            missing.records += line.pending
            missing.trades += line.trades
            missing.replies.extend(each for each in line.pending if each.record.reply_partition is not None)
        return missing

    def last(self) -> Iterator[tuple[SymbolEngine, list[Matched]]]:
        """Yield for each symbol the last records, shown or not: what the hot book may lack."""
        for line in self._lines.values():
            found = line.last()
            if found:
                yield line.engine, found

    def shown(self, symbol: str) -> int:
        """Return the sequence of the last record that the owner has shown."""
        return self._lines[symbol].shown

    def _note_poison(self, poison: Iterable[Poison]) -> None:
        """Forget what the owner has buried for sure: what it had under way with its last record or before."""
        self._poison.extend(each for each in poison if each.record.topic == VALIDATED_ORDERS)
        oldest = min(
            (line.pending[0].record.input_offset for line in self._lines.values() if line.pending),
            default=self.books.next_offset,
        )
        while self._poison and self._poison[0].record.offset < oldest - self._longest_batch:
            self._poison.popleft()


class _Line:
    """One symbol: `pending` are the records after `shown` that were computed, in order."""

    __slots__ = ("ahead", "engine", "last_trade", "pending", "recent", "shown", "trades")

    def __init__(self, engine: SymbolEngine, kept: int) -> None:
        self.engine = engine
        self.shown = engine.sequence
        self.pending: deque[Matched] = deque()
        self.recent: deque[Matched] = deque(maxlen=kept)
        self.last_trade = engine.trade_id
        self.trades: deque[TradeExecuted] = deque()
        """Computed and not shown: those after `last_trade`."""
        self.ahead: dict[int, str] = {}
        """Hashes of records that were shown before we computed them."""

    def made(self, matched: Matched) -> None:
        sequence = matched.record.sequence
        if sequence > self.shown:
            self.pending.append(matched)
        else:
            found = self.ahead.pop(sequence, None)
            if found is not None and found != record_hash(matched.data):
                raise self._differs(sequence, "what the owner wrote before")
            self.recent.append(matched)
        self.trades.extend(trade for trade in matched.trades if trade.trade_id > self.last_trade)

    def confirm(self) -> None:
        self.recent.append(self.pending.popleft())
        self.shown += 1

    def compare(self, sequence: int, record: Record) -> bool:
        """Compare a record that is not simply the next one; tell whether it is new."""
        if sequence <= self.shown:
            self._compare_repeated(sequence, record)
            return False
        place = f"{record.topic}[{record.partition}] {record.offset}"
        if sequence != self.shown + 1:
            raise SequenceGap(f"{place}: {self.engine.symbol}: expected {self.shown + 1}, found {sequence}")
        if self.pending:
            if self.pending[0].data != record.value:
                raise self._differs(sequence, place)
            self.confirm()
        else:
            self.ahead[sequence] = record_hash(record.value)
            self.shown = sequence
        return True

    def last(self) -> list[Matched]:
        return [*self.recent, *self.pending]

    def _compare_repeated(self, sequence: int, record: Record) -> None:
        if not self.recent:
            return
        place = sequence - self.recent[0].record.sequence
        if not 0 <= place < len(self.recent):
            return
        known = self.recent[place]
        if known.record.sequence == sequence and known.data != record.value:
            raise self._differs(sequence, f"{record.topic}[{record.partition}] {record.offset}")

    def _differs(self, sequence: int, place: str) -> ChainBroken:
        return ChainBroken(
            f"{place}: {self.engine.symbol} sequence {sequence}: the standby made another record"
        )
