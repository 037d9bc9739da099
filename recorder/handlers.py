"""The recorder's batch: check sequences, add up, write everything in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recorder.inbox import Poison, read_event
from recorder.settlement import Settlement
from recorder.store import Moved, Store
from schemas.events import AccountOpened, CommandMatched, FundsDeposited, OrderListEntered, TradeExecuted
from schemas.instruments import Instruments
from schemas.money import MAX_AMOUNT
from schemas.orders import OrderListKind
from schemas.reasons import PoisonReason
from schemas.topics import ACCOUNT_EVENTS, MATCHED_EVENTS, TRADE_EXECUTION, TopicMap
from service_runtime import telemetry
from service_runtime.clock import Clock
from service_runtime.dead_letter import DeadLetters
from service_runtime.errors import DependencyLost, PositionLost
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.failpoints import Failpoint, reach
from service_runtime.sequence import MatchedSequence, TradeSequence

_PAYING_THEMSELVES = (OrderListKind.OPO, OrderListKind.OPOCO)
_RECEIPTS_WITHIN_S = 30.0
_PAUSE_S = 0.005
_Deposits = list[tuple[Record, FundsDeposited]]


class RecorderHandler:
    """See service_runtime.service.Handler."""

    topics = (ACCOUNT_EVENTS, MATCHED_EVENTS, TRADE_EXECUTION)
    group = "recorder"

    def __init__(
        self, log: EventLog, store: Store, clock: Clock, topics: TopicMap, instruments: Instruments
    ) -> None:
        self._event_log = log
        self._store = store
        self._clock = clock
        self._topics = topics
        self._instruments = instruments
        self._dead_letters = DeadLetters(log, "recorder")
        self._matched = MatchedSequence()
        self._trades = TradeSequence()
        self._positions: dict[TopicPartition, int] = {}
        self._settled_trades = 0
        self._buried = False
        self._ahead: dict[TopicPartition, int] = {}
        """Where reading trades ahead of the batch has come to."""
        self._opo: set[int] = set()
        """Accounts with order lists that pay themselves."""

    # -- partitions -----------------------------------------------------------------------------

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Start where Postgres says, with the sequences it has settled."""
        # In this order: what another one settles in between moves a position that we then expect in vain.
        positions = self._store.positions(partitions)
        matched, trades = self._store.settled(self._topics.symbols)
        for source in partitions:
            low, high = self._event_log.offsets(source)
            if not low <= positions[source] <= high:
                raise PositionLost(source.topic, source.partition, positions[source], f"{low} to {high}")
        self._matched, self._trades = MatchedSequence(matched), TradeSequence(trades)
        reach(Failpoint.RECORDER_RECOVERY)
        self._opo = self._store.accounts_paying_themselves()
        self._positions = {source: positions[source] for source in partitions}
        return dict(self._positions)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        for source in partitions:
            self._positions.pop(source, None)

    # -- batches --------------------------------------------------------------------------------

    def handle(self, batch: Sequence[Record]) -> Mapping[TopicPartition, int]:
        settlement = Settlement(self._instruments)
        opened, deposits = self._collect(batch, settlement)
        moving = self._deposit(opened, deposits, settlement) if opened or deposits else []
        if settlement.refused_lists:
            requests = [
                (r.matched.source_partition, r.matched.source_offset) for r in settlement.refused_lists
            ]
            reserved = self._store.reservations(requests)
            for refused, request in zip(settlement.refused_lists, requests, strict=True):
                settlement.give_back(refused, reserved.get(request, []))
        nexts = {record.source: record.offset + 1 for record in batch} | self._ahead
        for source, position in self._positions.items():
            if nexts.get(source, position) < position:  # read ahead of the batch, and again with it
                nexts[source] = position
        self._ahead = {}
        moved = {source: Moved(self._positions.get(source, -1), offset) for source, offset in nexts.items()}
        if self._buried:  # a dead letter is stored before the position passes its record
            reach(Failpoint.RECORDER_BEFORE_FLUSH)
            self._event_log.flush()
            reach(Failpoint.RECORDER_AFTER_FLUSH)
            self._buried = False
        reach(Failpoint.RECORDER_BEFORE_WRITE)
        self._store.write(settlement, moving, moved)
        self._positions.update(nexts)
        self._settled_trades += len(settlement.trades)
        for symbol, settled in settlement.settled.items():
            if settled.sequence is not None:
                telemetry.SEQUENCE.labels(symbol).set(settled.sequence)
        return nexts

    def idle(self) -> None:
        """Nothing waits between batches."""

    def close(self) -> None:
        self._store.close()

    def details(self) -> dict[str, Any]:
        positions = {f"{s.topic}[{s.partition}]": offset for s, offset in sorted(self._positions.items())}
        return {"trades_settled": self._settled_trades, "positions": positions}

    # -- inside ---------------------------------------------------------------------------------

    def _collect(
        self, batch: Sequence[Record], settlement: Settlement
    ) -> tuple[list[AccountOpened], _Deposits]:
        """Put every record where it belongs; what was applied before is dropped."""
        opened: list[AccountOpened] = []
        deposits: _Deposits = []
        for record in sorted(batch, key=_trades_first):
            event = read_event(record, self._topics, self._instruments)
            if isinstance(event, TradeExecuted):
                self._trade(event, record, settlement)
            elif isinstance(event, CommandMatched):
                if self._matched.accept(event, record.value):
                    self._await_receipts(event, settlement)
                    last_hash = self._matched.positions[event.symbol].last_hash
                    settlement.matched(event, last_hash, record.partition, record.offset)
                else:
                    telemetry.DUPLICATES.inc()
            elif isinstance(event, AccountOpened):
                opened.append(event)
            elif isinstance(event, FundsDeposited):
                deposits.append((record, event))
            else:
                self._bury(record, event.reason, event.detail)
        return opened, deposits

    def _trade(self, trade: TradeExecuted, record: Record, settlement: Settlement) -> None:
        if self._trades.accept(trade):
            settlement.trade(trade, record.partition, record.offset)
        else:
            telemetry.DUPLICATES.inc()

    def _await_receipts(self, matched: CommandMatched, settlement: Settlement) -> None:
        """Settle the trades that a record's releases may rest on before the record.

        Everything else that is released was locked by the processor, before the matcher saw it. What an
        OPO list's buy received is locked by its trades, which come on the other topic.
        """
        for event in matched.events:
            if type(event) is OrderListEntered and event.kind in _PAYING_THEMSELVES:
                self._opo.add(event.account_id)
        if not self._opo or self._opo.isdisjoint(getattr(event, "account_id", 0) for event in matched.events):
            return
        deadline = self._clock.monotonic_s() + _RECEIPTS_WITHIN_S
        source = TopicPartition(TRADE_EXECUTION, self._topics.symbols[matched.symbol])
        while self._trades.positions.get(matched.symbol, 0) < matched.last_trade_id:
            if source not in self._positions:  # another recorder settles them
                settled = self._store.settled((matched.symbol,))[1]
                self._trades.positions[matched.symbol] = settled[matched.symbol]
            elif self._read_ahead(source, settlement):
                continue
            if self._clock.monotonic_s() > deadline:
                raise DependencyLost(f"{source.topic}: no trade {matched.symbol} {matched.last_trade_id}")
            self._clock.sleep(_PAUSE_S)

    def _read_ahead(self, source: TopicPartition, settlement: Settlement) -> bool:
        """Settle what the topic holds beyond our position; return whether there was anything."""
        start = max(self._ahead.get(source, 0), self._positions[source])
        end = self._event_log.offsets(source)[1]
        for batch in self._event_log.read(source, start, end):
            for record in batch:
                event = read_event(record, self._topics, self._instruments)
                if isinstance(event, TradeExecuted):
                    self._trade(event, record, settlement)
                elif isinstance(event, Poison):
                    self._bury(record, event.reason, event.detail)
        self._ahead[source] = end
        return start < end

    def _deposit(
        self, opened: Sequence[AccountOpened], deposits: _Deposits, settlement: Settlement
    ) -> list[FundsDeposited]:
        """Return the deposits that move money: each id once, to accounts that are open, within 63 bits.

        All wallets of an asset together hold what came from outside, so that the outside account's
        balance is the one that can overflow first.
        """
        facts = self._store.open_accounts(opened, [deposit for _, deposit in deposits])
        used, moving = set(facts.deposits), []
        for record, deposit in deposits:
            if deposit.deposit_id in used:
                telemetry.DUPLICATES.inc()
            elif deposit.account_id not in facts.accounts:
                self._bury(record, "validation_error", f"account {deposit.account_id} is not open")
            elif facts.outside[deposit.asset] - deposit.amount_minor < -MAX_AMOUNT:
                self._bury(record, "validation_error", f"{deposit.asset} would not fit 63 bits")
            else:
                used.add(deposit.deposit_id)
                facts.outside[deposit.asset] -= deposit.amount_minor
                settlement.deposit(deposit, record.partition, record.offset)
                moving.append(deposit)
        return moving

    def _bury(self, record: Record, reason: PoisonReason, detail: str) -> None:
        self._dead_letters.send(record, reason, detail)
        self._buried = True


def _trades_first(record: Record) -> bool:
    return record.topic != TRADE_EXECUTION
