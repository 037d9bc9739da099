"""Brings a database forward to what the log says: the processor's and the recorder's own code, their records
in an order that could have been.

Money is taken before it is given back: a settlement waits for the reservations of its orders, a reservation
for the settlements that pay it. So records are taken greedily: whatever the recorder may settle first, then
of each account's requests those that the wallets can pay, in order; and again. What happened live is one
such order, so this one comes to the end too, and to the same rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import psycopg

from processor.ledger import Ledger, WalletKey
from processor.order_rows import AcceptedOrder, accepted_orders
from processor.outbox import pack
from processor.outcomes import Outcome
from processor.questions import Questions
from processor.reservations import locked_asset
from processor.store import Moved
from processor.store import Store as ProcessorStore
from recorder.handlers import RecorderHandler
from recorder.inbox import read_event
from recorder.store import Store as RecorderStore
from schemas.events import CommandMatched, TradeExecuted
from schemas.instruments import Instruments
from schemas.topics import (
    ACCOUNT_EVENTS,
    MATCHED_EVENTS,
    ORDER_REQUESTS,
    TRADE_EXECUTION,
    TopicMap,
    request_of,
)
from service_runtime.clock import SystemClock
from service_runtime.errors import InvariantBroken, PositionLost
from service_runtime.event_log import EventLog, Record, TopicPartition
from tapehouse.replay.bounded_log import BoundedLog
from tapehouse.replay.logged_decisions import LoggedDecisions

RECORDER_TOPICS = (ACCOUNT_EVENTS, TRADE_EXECUTION, MATCHED_EVENTS)
"""In the order in which a round takes them."""
_BATCH = 1_000


class Blocked(InvariantBroken):
    """No order of the log's records keeps every wallet whole: something in it was not paid for."""


@dataclass(frozen=True)
class Ends:
    """How far to go: into `order-requests` by partition, into the recorder's topics."""

    requested: Mapping[int, int]
    recorded: Mapping[TopicPartition, int]


@dataclass
class _Waiting:
    """One of the recorder's partitions: what is read of it, and not yet settled."""

    records: Iterator[Record]
    next_offset: int
    ahead: deque[Record] = field(default_factory=deque)

    def first(self) -> Record | None:
        if not self.ahead:
            self.ahead.extend(islice(self.records, _BATCH))
        return self.ahead[0] if self.ahead else None


class RollForward:
    """One run over one database, whose positions are where it begins. No service may run on it.

    `whole`: the database must take all records up to the ends. Otherwise it stops where trades of a record
    are missing at the end of the log: the matcher writes them when it starts.
    """

    def __init__(
        self,
        log: EventLog,
        connect: Callable[[], psycopg.Connection],
        topics: TopicMap,
        instruments: Instruments,
        ends: Ends | None = None,
        floors: Mapping[TopicPartition, int] | None = None,
        unsent: Sequence[tuple[str, bytes]] = (),
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        self._event_log = log
        self._connect = connect
        self._topics = topics
        self._instruments = instruments
        self._ends = ends
        self._floors = floors or {}
        self._unsent = list(unsent)
        self._progress = progress
        self._whole = ends is not None
        self._connections: list[psycopg.Connection] = []
        self._decisions: LoggedDecisions | None = None
        self.done = 0

    def run(self) -> int:
        """Return how many records were taken. Raises Blocked, PositionLost, or what the services raise."""
        try:
            self._begin_settling()
            self._begin_reserving()
            moved = True
            while moved:
                moved = self._settle()
                for partition in self._cursors:
                    moved = self._reserve(partition) or moved
            self._check_finished()
        finally:
            if self._decisions is not None:
                self._decisions.close()
            for connection in self._connections:
                connection.close()
        return self.done

    def _begin_settling(self) -> None:
        log, sources = self._event_log, [s for topic in RECORDER_TOPICS for s in self._partitions(topic)]
        recorded = {s: log.offsets(s)[1] for s in sources} if self._ends is None else self._ends.recorded
        self._bounded = BoundedLog(log, {s: recorded.get(s, 0) for s in sources})
        store = RecorderStore(self._connection())
        self._recorder = RecorderHandler(self._bounded, store, SystemClock(), self._topics, self._instruments)
        starts = self._recorder.on_assigned(sources)
        self._waiting = {s: self._open(s, starts[s]) for s in sources}
        self._trades: dict[str, int] = store.settled(self._topics.symbols)[1]

    def _begin_reserving(self) -> None:
        log, requests = self._event_log, self._partitions(ORDER_REQUESTS)
        self._wallets = self._connection()
        self._store = ProcessorStore(self._wallets, self._instruments)
        found = self._store.positions([s.partition for s in requests])
        self._cursors = {p: position.next_offset for p, position in found.items()}
        for source in requests:
            low, high = log.offsets(source)
            if not low <= self._cursors[source.partition] <= high:
                raise PositionLost(*source, self._cursors[source.partition], f"{low} to {high}")
        decisions = LoggedDecisions(log, self._topics, self._cursors, self._floors, self._unsent)
        self._decisions, decided = decisions, decisions.decided()
        self._requested = dict(decided if self._ends is None else self._ends.requested)
        self._requests = {s.partition: self._open_requests(s, decisions) for s in requests}
        begun = sum(w.next_offset for w in self._waiting.values()) + sum(self._cursors.values())
        self._length = sum(self._bounded.ends.values()) + sum(self._requested.values()) - begun

    def _connection(self) -> psycopg.Connection:
        self._connections.append(self._connect())
        return self._connections[-1]

    # -- the recorder's side ----------------------------------------------------------------------

    def _settle(self) -> bool:
        """Let the recorder take everything whose orders are reserved; tell whether there was anything."""
        moved = False
        for waiting in self._waiting.values():
            while batch := self._ready(waiting):
                self._recorder.handle(batch)
                waiting.next_offset = batch[-1].offset + 1
                self._took(len(batch))
                moved = True
        return moved

    def _ready(self, waiting: _Waiting) -> list[Record]:
        batch: list[Record] = []
        while len(batch) < _BATCH:
            record = waiting.first()
            if record is None or not self._may_settle(record):
                break
            batch.append(waiting.ahead.popleft())
        return batch

    def _may_settle(self, record: Record) -> bool:
        event = read_event(record, self._topics, self._instruments)
        if isinstance(event, CommandMatched):
            if not self._whole and event.last_trade_id > self._trades.get(event.symbol, 0):
                return False
            return event.source_offset < self._cursors.get(event.source_partition, 0)
        if isinstance(event, TradeExecuted):
            requests = (request_of(event.buyer_order_id), request_of(event.seller_order_id))
            if any(offset >= self._cursors.get(partition, 0) for partition, offset in requests):
                return False
            self._trades[event.symbol] = max(event.trade_id, self._trades.get(event.symbol, 0))
        return True

    # -- the processor's side ---------------------------------------------------------------------

    def _reserve(self, partition: int) -> bool:
        """Take the partition's next requests, as far as the wallets pay them."""
        moved = False
        pending = self._requests[partition]
        while pending.first() is not None:
            records = list(islice(pending.ahead, _BATCH))
            taken = self._pay(partition, records, pending)
            if not taken:
                break
            for _ in range(taken):
                pending.ahead.popleft()
            self._took(taken)
            moved = True
        return moved

    def _pay(self, partition: int, records: list[Record], pending: _Requests) -> int:
        outcomes = [pending.outcome(record) for record in records]
        orders = [accepted_orders([o]) if o is not None else [] for o in outcomes]
        wallets = sorted({self._wallet(order) for some in orders for order in some if order.locked_minor})
        cursor = self._cursors[partition]
        asked = Questions({partition: cursor}, [], wallets, [], [])
        ledger, taken = Ledger(self._store.read(asked).available), 0
        for some in orders:
            if not self._lock(ledger, some):
                break
            taken += 1
        if not taken:
            self._wallets.rollback()
            return 0
        following = records[taken - 1].offset + 1
        written = [o for o in outcomes[:taken] if o is not None]
        accepted = [order for some in orders[:taken] for order in some]
        moved = {partition: Moved(cursor, following, pack([]))}
        self._store.write(written, accepted, ledger.locked, moved)
        self._cursors[partition] = following
        for record in records[:taken]:
            pending.known.pop(record.offset, None)
        return taken

    def _lock(self, ledger: Ledger, orders: Sequence[AcceptedOrder]) -> bool:
        """Lock what the orders of one command need, all or nothing."""
        needed: dict[WalletKey, int] = {}
        for order in orders:
            if order.locked_minor:
                wallet = self._wallet(order)
                needed[wallet] = needed.get(wallet, 0) + order.locked_minor
        if any(ledger.available(wallet) < amount for wallet, amount in needed.items()):
            return False
        for wallet, amount in needed.items():
            ledger.lock(wallet, amount)
        return True

    def _wallet(self, order: AcceptedOrder) -> WalletKey:
        instrument = self._instruments[order.command.symbol]
        return (order.command.account_id, locked_asset(order.terms.side, instrument))

    # -- inside -----------------------------------------------------------------------------------

    def _open(self, source: TopicPartition, start: int) -> _Waiting:
        return _Waiting(self._records(source, start, self._bounded.ends[source]), start)

    def _open_requests(self, source: TopicPartition, decisions: LoggedDecisions) -> _Requests:
        start = self._cursors[source.partition]
        end = self._requested.get(source.partition, 0)
        return _Requests(self._records(source, start, end), start, decisions=decisions)

    def _records(self, source: TopicPartition, start: int, end: int) -> Iterator[Record]:
        for batch in self._event_log.read(source, start, end) if start < end else ():
            yield from batch

    def _took(self, records: int) -> None:
        self.done += records
        self._progress(self.done, self._length)

    def _check_finished(self) -> None:
        for partition, pending in self._requests.items():
            if (record := pending.first()) is not None:
                where = f"{ORDER_REQUESTS}[{partition}] offset {record.offset}"
                raise Blocked(f"{where}: it was accepted, and no wallet pays for it")
        for source, waiting in self._waiting.items():
            if self._whole and (record := waiting.first()) is not None:
                where = f"{source.topic}[{source.partition}] offset {record.offset}"
                raise Blocked(f"{where}: its order was never accepted")

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, p) for p in range(self._topics.topics[topic].partitions)]


@dataclass
class _Requests(_Waiting):
    """One partition of `order-requests`, with what was decided of those that wait."""

    known: dict[int, Outcome | None] = field(default_factory=dict)
    decisions: LoggedDecisions = field(kw_only=True)

    def outcome(self, record: Record) -> Outcome | None:
        if record.offset not in self.known:
            decided = self.decisions.outcome(record)
            self.known[record.offset] = None if decided is None else decided[1]
        return self.known[record.offset]
