"""Balances as they were, from the topics alone. Pure but for reading the log.

"Then" is a place in every partition of `matched-events`. A time names the records that the broker had stored
before it. An offset names the records before it in its partition; the partitions that are not named are taken
up to the time of the newest record that is in. Reservations and deposits are in when the broker had them by
then, and a reservation whose outcome is in, always. Trades count when they are matched, not when the recorder
settles them. In a cluster "by then" is as exact as the brokers' clocks agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from matcher.narration import trades_executed
from schemas.codec import InvalidMessage, decoder_for, decoder_for_union
from schemas.commands import VALIDATED_ORDERS as COMMANDS
from schemas.commands import EnterOrder, EnterOrderList, MatcherCommand, ReplaceRestingOrder
from schemas.events import ACCOUNT_EVENTS as ACCOUNT_EVENT_UNION
from schemas.events import AccountOpened, CommandMatched, OrderListRefused
from schemas.instruments import Instruments
from schemas.topics import ACCOUNT_EVENTS, MATCHED_EVENTS, VALIDATED_ORDERS, TopicMap
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.sequence import MatchedSequence
from tapehouse.audit.balances import Balances, WalletKey
from tapehouse.replay.bounds import Bound

_matched = decoder_for(CommandMatched)
_command = decoder_for_union(COMMANDS)
_account = decoder_for_union(ACCOUNT_EVENT_UNION)


@dataclass
class Moment:
    """Balances, and what "then" was."""

    rows: dict[WalletKey, tuple[int, int]] = field(default_factory=dict)
    """(account, asset) -> available, locked"""
    places: dict[int, int] = field(default_factory=dict)
    """Partition of matched-events -> the first offset that is not in."""
    newest_ms: int = 0


def look_back(
    log: EventLog,
    topics: TopicMap,
    instruments: Instruments,
    at: Bound,
    progress: Callable[[int], None] = lambda _: None,
) -> Moment:
    """Raises SequenceGap or ChainBroken where the log is not whole."""
    return _LookBack(log, topics, instruments, at, progress).run()


class _LookBack:
    def __init__(
        self,
        log: EventLog,
        topics: TopicMap,
        instruments: Instruments,
        at: Bound,
        progress: Callable[[int], None],
    ) -> None:
        self._event_log = log
        self._topics = topics
        self._instruments = instruments
        self._at = at
        self._progress = progress
        self._balances = Balances(instruments)
        self._sequence = MatchedSequence()
        self._refused: set[int] = set()
        self._inputs: dict[int, int] = {}
        self._moment = Moment()

    def run(self) -> Moment:
        partitions = range(self._topics.topics[MATCHED_EVENTS].partitions)
        named = [p for p in partitions if self._at.offset_of(p) is not None]
        for partition in named:
            self._matched_up_to(partition, self._before_offset(self._at.offset_of(partition)))
        in_time = self._in_time()
        for partition in partitions:
            if partition not in named:
                self._matched_up_to(partition, in_time)
            self._reserved(partition, in_time)
        self._deposited(in_time)
        self._moment.rows = self._balances.rows()
        return self._moment

    def _in_time(self) -> Callable[[Record], bool]:
        until, newest = self._at.time_ms, self._moment.newest_ms
        if until is not None:
            return lambda record: record.timestamp_ms < until
        if not self._at.given:
            return lambda record: True
        return lambda record: record.timestamp_ms <= newest

    @staticmethod
    def _before_offset(end: int | None) -> Callable[[Record], bool]:
        return lambda record: end is None or record.offset < end

    def _matched_up_to(self, partition: int, included: Callable[[Record], bool]) -> None:
        self._moment.places[partition] = 0
        for record in self._records(MATCHED_EVENTS, partition):
            if not included(record):
                return
            self._moment.places[partition] = record.offset + 1
            self._moment.newest_ms = max(self._moment.newest_ms, record.timestamp_ms)
            try:
                event = _matched(record.value)
            except InvalidMessage:
                continue
            if self._topics.symbols.get(event.symbol) != partition:
                continue
            if not self._sequence.accept(event, record.value):
                continue
            self._inputs[partition] = max(event.input_offset, self._inputs.get(partition, -1))
            self._balances.release(event)
            for trade in trades_executed(event):
                self._balances.trade(trade)
            self._refused |= {e.list_id for e in event.events if isinstance(e, OrderListRefused)}

    def _reserved(self, partition: int, in_time: Callable[[Record], bool]) -> None:
        passed: dict[tuple[str, int], int] = {}
        for record in self._records(VALIDATED_ORDERS, partition):
            if record.offset > self._inputs.get(partition, -1) and not in_time(record):
                return
            try:
                command = _command(record.value)
            except InvalidMessage:
                continue
            assert isinstance(command, MatcherCommand)
            key = (command.symbol, command.source_partition)
            if self._topics.symbols.get(command.symbol) != partition:
                continue
            if command.source_offset <= passed.get(key, -1):
                continue
            passed[key] = command.source_offset
            if isinstance(command, EnterOrderList) and command.list_id in self._refused:
                continue
            if isinstance(command, EnterOrder | EnterOrderList | ReplaceRestingOrder):
                self._balances.reserve(command)

    def _deposited(self, in_time: Callable[[Record], bool]) -> None:
        opened: set[int] = set()
        used: set[str] = set()
        for partition in range(self._topics.topics[ACCOUNT_EVENTS].partitions):
            for record in self._records(ACCOUNT_EVENTS, partition):
                if not in_time(record):
                    break
                try:
                    event = _account(record.value)
                except InvalidMessage:
                    continue
                if self._topics.partition_of_account(event.account_id, ACCOUNT_EVENTS) != partition:
                    continue
                if isinstance(event, AccountOpened):
                    opened.add(event.account_id)
                elif event.account_id in opened and event.deposit_id not in used:
                    used.add(event.deposit_id)
                    self._balances.deposit(event.account_id, event.asset, event.amount_minor)

    def _records(self, topic: str, partition: int) -> Iterator[Record]:
        source = TopicPartition(topic, partition)
        for batch in self._event_log.read(source, 0, self._event_log.offsets(source)[1]):
            self._progress(len(batch))
            yield from batch


def texts(rows: Mapping[WalletKey, tuple[int, int]], instruments: Instruments) -> list[dict[str, str | int]]:
    """Return the rows as a client would read them, by account and asset."""
    return [
        {
            "account": account,
            "asset": asset,
            "available": instruments.assets[asset].text(available),
            "locked": instruments.assets[asset].text(locked),
        }
        for (account, asset), (available, locked) in sorted(rows.items())
    ]
