"""The matcher's part of the loop: books by partition, records out, hot book, replies, snapshots."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from matcher.claims import Claims
from matcher.hot_writer import HotWriter
from matcher.inbox import Inbox, Poison
from matcher.output_watch import OutputWatch
from matcher.partition_books import PartitionBooks
from matcher.recovery import Recovered, Recovery, highest_trades
from matcher.settings import MatcherSettings
from matcher.snapshot_writer import SnapshotWriter
from matcher.snapshots import Snapshots
from matcher.succession import Step, after_claim
from matcher.symbol_engine import Matched, SymbolEngine
from matcher.time_requests import TimeRequests
from schemas.codec import encode
from schemas.events import PartitionClaimed, TradeExecuted
from schemas.instruments import load_instruments
from schemas.orders import MarketState
from schemas.topics import MATCHED_EVENTS, ORDER_REPLIES, TRADE_EXECUTION, VALIDATED_ORDERS, load_topics
from service_runtime import telemetry
from service_runtime.clock import Clock
from service_runtime.dead_letter import DeadLetters
from service_runtime.errors import Fenced
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.failpoints import Failpoint, reach
from service_runtime.hot_book import HotBook

_LOOK_EVERY_S = 1.0
_CHECK_EVERY_S = 0.25
"""A slice of the hot book at a time: orders wait while it is held against ours."""
_BETWEEN_BATCHES_S = 0.02
"""So long may snapshots and the like take from matching at a time."""


class MatcherHandler:
    """See `service_runtime.service.Handler`. Owns the books of the partitions it is given.

    Part of a standby too (`standby.py`), which takes partitions over and gives them up.
    """

    topics = (VALIDATED_ORDERS,)
    group = "matcher"

    def __init__(
        self, settings: MatcherSettings, log: EventLog, hot: HotBook, clock: Clock, standby: bool = False
    ) -> None:
        topics = load_topics(settings.topics_file)
        instruments = load_instruments(settings.instruments_file)
        self._settings = settings
        self._event_log = log
        self._hot = hot
        self._clock = clock
        self.inbox = Inbox(topics, instruments)
        self._dead_letters = DeadLetters(log, "matcher")
        self._writer = SnapshotWriter(log, hot, settings.snapshot_fork_above)
        self.name = f"matcher-standby-{settings.instance}" if standby else f"matcher-{settings.instance}"
        self.claims = Claims(log, clock, self.name, standby)

        self._hot_writer = HotWriter(hot, self.name)
        self._time_requests = TimeRequests(log, clock, topics)
        self._recovery = Recovery(log, Snapshots(log, hot), topics, instruments, settings.resent_replies)
        self._owned: dict[int, _Owned] = {}
        self._retained: dict[int, PartitionBooks] = {}
        self._details: dict[str, Any] = {}
        self._between_batches = True
        self._looked_at_s = self._checked_at_s = 0.0

    def books(self, partition: int) -> PartitionBooks:
        """Return the books of a partition we own. Raises KeyError."""
        return self._owned[partition].books

    # -- ownership --------------------------------------------------------------------------------

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        starts = {}
        for source in partitions:
            recovered = self.recover(source.partition)
            self._finish_recovery(source.partition, recovered)
            _, end = self._event_log.offsets(source)
            self._own(recovered).claims_at = end
            starts[source] = recovered.books.next_offset
        self._tell()
        return starts

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        for source in partitions:
            if source.partition in self._owned:
                self.retain(self.give_up(source.partition))

    def recover(self, partition: int) -> Recovered:
        """Return the books as the log says, and what is missing there; write nothing."""
        recovered = self._recovery.recover(partition, self._retained.pop(partition, None))
        books = recovered.books
        self._writer.slots |= books.slots
        for symbol, engine in books.engines.items():
            self._writer.hashes[symbol] = (engine.sequence, engine.book_hash())
        return recovered

    def retain(self, books: PartitionBooks) -> None:
        """Keep books whose output is stored: when the partition comes back, recovery goes on from there."""
        self._retained[books.partition] = books

    def take_over(
        self, missing: Recovered, last: Iterable[tuple[SymbolEngine, list[Matched]]]
    ) -> PartitionClaimed:
        """Go on as the owner: write what is missing, the hot book and the replies too, and a claim.

        `last` are the records whose changes the hot book may lack.
        """
        partition = missing.books.partition
        reach(Failpoint.MATCHER_BEFORE_TAKE_OVER)
        self._append_missing(partition, missing)
        claim = self.claims.claim(partition)
        reach(Failpoint.MATCHER_IN_TAKE_OVER)
        self._hot_writer.write(list(last))
        self._event_log.flush()
        self._append_replies(missing.replies)
        owned = self._own(missing)
        owned.claim, owned.unsaved, owned.moved = claim, True, True
        reach(Failpoint.MATCHER_AFTER_TAKE_OVER)
        return claim

    def give_up(self, partition: int) -> PartitionBooks:
        """Work on a partition no more; all its output is stored."""
        books = self._owned.pop(partition).books
        self._hot_writer.forget(books.engines)
        return books

    def step_down(self, partition: int) -> Recovered:
        """Give up to an owner that is back, and tell how far its output has come; it may be ahead of us."""
        watch = self._owned[partition].watch
        watch.look()
        books = self.give_up(partition)
        trades, trades_end = highest_trades(self._event_log, partition, books.engines.keys())
        return Recovered(
            books,
            output_end=watch.end,
            trades_end=trades_end,
            shown=dict(watch.highest),
            shown_trades=trades,
        )

    def _own(self, recovered: Recovered) -> _Owned:
        """From where the output was compared, not from its end: meanwhile others may have gone on."""
        books = recovered.books
        watch = OutputWatch(self._event_log, books.partition, recovered.output_end, recovered.shown)
        owned = self._owned[books.partition] = _Owned(books, watch, self._clock.monotonic_s())
        return owned

    def _finish_recovery(self, partition: int, recovered: Recovered) -> None:
        """Write what the last owner may not have got out; what it did is a harmless duplicate."""
        reach(Failpoint.MATCHER_RECOVERY_BEFORE_PRODUCE)
        self._append_missing(partition, recovered)
        reach(Failpoint.MATCHER_RECOVERY_BEFORE_FLUSH)
        self._event_log.flush()
        reach(Failpoint.MATCHER_RECOVERY_AFTER_FLUSH)
        self._append_replies(recovered.replies)
        self._hot_writer.mend(recovered.books.engines, ahead_is_wrong=True)

    def _append_missing(self, partition: int, recovered: Recovered) -> None:
        for each in recovered.records:
            symbol = each.record.symbol
            self._event_log.append(MATCHED_EVENTS, partition, each.data, symbol.encode())
        self._append_trades(partition, recovered.trades)
        self._bury(recovered.poison)

    # -- the batch --------------------------------------------------------------------------------

    def handle(self, batch: Sequence[Record]) -> Mapping[TopicPartition, int]:
        reach(Failpoint.MATCHER_AFTER_POLL)
        by_partition = _by_partition(batch)
        cut = [
            [(self._owned[partition], part) for part in self._up_to_snapshots(records)]
            for partition, records in by_partition.items()
        ]
        for together in zip_longest(*cut):
            parts = [part for part in together if part is not None]
            self._handle_parts(parts)
            for owned, _ in parts:
                if not owned.books.next_offset % self._settings.snapshot_every_records:
                    self._save(owned)
        return {TopicPartition(VALIDATED_ORDERS, p): self._owned[p].books.next_offset for p in by_partition}

    def _up_to_snapshots(self, records: list[Record]) -> Iterator[list[Record]]:
        """Cut where a snapshot is due, so that every owner takes it after the same record."""
        every = self._settings.snapshot_every_records
        while records:
            due = (records[0].offset // every + 1) * every
            if records[-1].offset < due:
                yield records
                return
            place = bisect_left(records, due, key=_offset)
            yield records[:place]
            records = records[place:]

    def _handle_parts(self, parts: Sequence[tuple[_Owned, list[Record]]]) -> None:
        """Match; log records and trades; while they are stored write the hot book; then reply.

        So who has its reply finds log and hot book up to date. All partitions together: to wait for log
        and hot book costs as much for one as for all.
        """
        self._between_batches = False
        done: list[tuple[SymbolEngine, list[Matched]]] = []
        for owned, records in parts:
            done += self._match(owned, records)
        reach(Failpoint.MATCHER_AFTER_PRODUCE)
        self._hot_writer.write(done)
        reach(Failpoint.MATCHER_AFTER_HOT_BOOK)
        self._event_log.flush()
        reach(Failpoint.MATCHER_AFTER_FLUSH)
        self._append_replies(each for _, made in done for each in made)
        for engine, _ in done:
            telemetry.SEQUENCE.labels(engine.symbol).set(engine.sequence)
        reach(Failpoint.MATCHER_AFTER_REPLIES)
        for owned, _ in parts:
            owned.unsaved = owned.moved = True
        self._between_batches = True

    def _match(self, owned: _Owned, records: list[Record]) -> list[tuple[SymbolEngine, list[Matched]]]:
        """Match one partition's commands and hand records and trades to the log."""
        books = owned.books
        matched, poison = books.handle(self.inbox, records)
        reach(Failpoint.MATCHER_IN_MATCH)
        for symbol, made in matched.items():
            data = [each.data for each in made]
            self._event_log.append_all(MATCHED_EVENTS, books.partition, data, symbol.encode())
            owned.watch.wrote(symbol, made, books.engines[symbol].last_hash)
            owned.note_floor(symbol)
        reach(Failpoint.MATCHER_BETWEEN_OUTPUTS)
        for made in matched.values():
            self._append_trades(books.partition, [trade for m in made if m.trades for trade in m.trades])
        self._bury(poison)
        return [(books.engines[symbol], made) for symbol, made in matched.items()]

    def idle(self) -> None:
        now = self._clock.monotonic_s()
        for owned in self._owned.values():
            if owned.claims_at is not None and owned.books.next_offset >= owned.claims_at:
                owned.claim, owned.claims_at = self.claims.claim(owned.books.partition), None
            if owned.unsaved and now >= owned.saved_at_s + self._settings.snapshot_every_s:
                self._save(owned)
        self._writer.step(_BETWEEN_BATCHES_S)
        self._hot_writer.step(_BETWEEN_BATCHES_S)
        if now >= self._looked_at_s + _LOOK_EVERY_S:
            self._looked_at_s = now
            self._time_requests.ask(
                engine for owned in self._owned.values() for engine in owned.books.engines.values()
            )
            for owned in self._owned.values():
                if owned.moved:
                    self._look_at_output(owned)
                self._hot_writer.mend(owned.books.engines, ahead_is_wrong=False)
            self._tell()
        elif now >= self._checked_at_s + _CHECK_EVERY_S:
            self._checked_at_s = now
            self._hot_writer.check(e for owned in self._owned.values() for e in owned.books.engines.values())

    def close(self) -> None:
        """Save the books, unless a batch was broken off: then the log does not hold what they say."""
        self._writer.drop()
        if self._between_batches:
            for owned in self._owned.values():
                if owned.unsaved:
                    self._writer.write_now(owned.books)
            self._event_log.flush()
        self._hot.close()

    def details(self) -> dict[str, Any]:
        return self._details

    # -- inside -----------------------------------------------------------------------------------

    def _append_trades(self, partition: int, trades: Iterable[TradeExecuted]) -> None:
        by_symbol: dict[str, list[bytes]] = {}
        for trade in trades:
            by_symbol.setdefault(trade.symbol, []).append(encode(trade))
        for symbol, values in by_symbol.items():
            self._event_log.append_all(TRADE_EXECUTION, partition, values, symbol.encode())

    def _append_replies(self, matched: Iterable[Matched]) -> None:
        """Nobody waits for the reply of a command that names no partition."""
        by_worker: dict[int, list[bytes]] = {}
        for record, data, _ in matched:
            worker = record.reply_partition
            if worker is not None:
                values = by_worker.get(worker)
                if values is None:
                    by_worker[worker] = [data]
                else:
                    values.append(data)
        for worker, values in by_worker.items():
            self._event_log.append_all(ORDER_REPLIES, worker, values)

    def _bury(self, poison: Iterable[Poison]) -> None:
        for each in poison:
            self._dead_letters.send(each.record, each.reason, each.detail)

    def _save(self, owned: _Owned) -> None:
        """Begin a snapshot, if the one before is done; everything that was made is stored."""
        if self._writer.begin(owned.books):
            owned.unsaved, owned.saved_at_s = False, self._clock.monotonic_s()

    def _look_at_output(self, owned: _Owned) -> None:
        """No record of ours that is still to come can stand before the end that is found."""
        if owned.watch.look() and owned.claim is not None and not owned.claim.standby:
            self._look_at_claims(owned, owned.claim)
        owned.moved = False
        for symbol, engine in owned.books.engines.items():
            if not engine.sequence:
                owned.note_floor(symbol)

    def _look_at_claims(self, owned: _Owned, own: PartitionClaimed) -> None:
        """Somebody else writes our output. Raises Fenced if it is another matcher that came after us."""
        partition = owned.books.partition
        last = self.claims.last(partition)
        step = Step.GO_ON if last is None else after_claim(own, last)
        if step is Step.END and last is not None:
            raise Fenced(
                f"partition {partition}: {last.holder} has claimed what {own.holder} works on: two matchers "
                "were started for one partition, or this one was frozen; the later one goes on"
            )
        if step is Step.CLAIM_AGAIN:
            _, owned.claims_at = self._event_log.offsets(TopicPartition(VALIDATED_ORDERS, partition))

    def _tell(self) -> None:
        """Renew what /health/ready and /metrics show; it is read from another thread."""
        lags = self._event_log.lag()
        symbols = {}
        for partition, owned in self._owned.items():
            lag = lags.get(TopicPartition(VALIDATED_ORDERS, partition), 0)
            for symbol, engine in owned.books.engines.items():
                sequence, book_hash = self._writer.hashes[symbol]
                symbols[symbol] = {
                    "state": engine.market.state,
                    "until_ns": engine.market.until_ns,
                    "partition": partition,
                    "sequence": engine.sequence,
                    "last_hash": engine.last_hash,
                    "last_price_ticks": engine.last_price_ticks or None,
                    "open_orders": len(engine.book.orders),
                    "book_hash": {"sequence": sequence, "hash": book_hash},
                    "lag": lag,
                }
                for state in MarketState:
                    telemetry.MARKET_STATE.labels(symbol, state).set(state is engine.market.state)
                telemetry.SYMBOL_LAG.labels(symbol).set(lag)
                telemetry.BOOK_HASH.labels(symbol).set(int(book_hash[:12], 16))
                telemetry.BOOK_HASH_SEQUENCE.labels(symbol).set(sequence)
        self._details = {"symbols": symbols}


@dataclass(slots=True)
class _Owned:
    """A partition we work on."""

    books: PartitionBooks
    watch: OutputWatch
    saved_at_s: float
    claim: PartitionClaimed | None = None
    """Our last one."""
    claims_at: int | None = None
    """We shall claim it when we have come to this place of the input: before, others may be ahead of us."""
    unsaved: bool = False
    moved: bool = False

    def note_floor(self, symbol: str) -> None:
        """While another owner is ahead of us the old one stays: the next record stands after it."""
        floor = self.watch.floor(symbol, self.books.engines[symbol].sequence)
        if floor is not None:
            self.books.output_floors[symbol] = floor


def _by_partition(batch: Sequence[Record]) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for record in batch:
        records = found.get(record.partition)
        if records is None:
            found[record.partition] = [record]
        else:
            records.append(record)
    return found


def _offset(record: Record) -> int:
    return record.offset
