"""One scan of the topics up to a cut: sequences (I5), balances, books, order histories."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from schemas.codec import InvalidMessage, decoder_for, decoder_for_union, record_hash
from schemas.commands import VALIDATED_ORDERS as COMMANDS
from schemas.commands import EnterOrder, EnterOrderList, MatcherCommand, ReplaceRestingOrder
from schemas.envelope import Envelope
from schemas.events import ACCOUNT_EVENTS as ACCOUNT_EVENT_UNION
from schemas.events import AccountOpened, CommandMatched, OrdersTraded, TradeExecuted
from schemas.instruments import Instruments
from schemas.orders import Side
from schemas.topics import ACCOUNT_EVENTS, MATCHED_EVENTS, TRADE_EXECUTION, VALIDATED_ORDERS, TopicMap
from service_runtime.errors import InvariantBroken
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.sequence import MatchedSequence, TradeSequence
from tapehouse.audit.balances import Balances
from tapehouse.audit.cut import Cut
from tapehouse.audit.difference import differs
from tapehouse.audit.fairness import Fairness
from tapehouse.audit.rebuilt_book import Ended, OpenOrder, RebuiltBook

_matched = decoder_for(CommandMatched)
_trade = decoder_for(TradeExecuted)
_command = decoder_for_union(COMMANDS)
_account = decoder_for_union(ACCOUNT_EVENT_UNION)
_REMEMBERED = 65_536
"""Hashes kept per symbol, to hold repeated records against the first."""

TradeTerms = tuple[int, int, int, int, int]
"""price, lots, quote minor, buyer order, seller order"""


class Sink:
    """What else wants each trade and each ended order while the scan goes by."""

    def trades(self, symbol: str, trades: list[TradeExecuted]) -> None: ...

    def ended(self, symbol: str, orders: list[Ended]) -> None: ...


@dataclass
class Scan:
    """What the topics say at the cut."""

    balances: Balances
    books: dict[str, RebuiltBook]
    records: int = 0
    repeated: int = 0
    unreadable: int = 0
    accepted: int = 0
    """Orders that the processor accepted."""
    fair_trades: int = 0
    """Trades that price and time gave to who got them."""
    unmatched_trades: dict[str, dict[int, TradeTerms]] = field(default_factory=dict)
    """Trades that the cut of `trade-execution` has and that of `matched-events` has not yet."""


class Scanner:
    def __init__(
        self,
        log: EventLog,
        topics: TopicMap,
        instruments: Instruments,
        cut: Cut,
        sink: Sink,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._event_log = log
        self._topics = topics
        self._cut = cut
        self._sink = sink
        self._progress = progress
        self._matched = MatchedSequence()
        self._trades = TradeSequence()
        self._hashes: dict[str, OrderedDict[int, str]] = {s: OrderedDict() for s in topics.symbols}
        self._fairness = {s: Fairness() for s in topics.symbols}
        self._inputs: dict[str, int] = {}
        self._handed_over: dict[str, int] = {}
        books = {s: RebuiltBook(s, cut.trade_ids.get(s, 0)) for s in topics.symbols}
        self.scan = Scan(Balances(instruments), books)
        self._assets = instruments.assets

    def length(self) -> int:
        """Return about how many records there are to read."""
        validated = sum(self._event_log.offsets(s)[1] for s in self._partitions(VALIDATED_ORDERS))
        return validated + sum(self._cut.recorded.values())

    def run(self) -> Scan:
        """Raises Difference at the first thing that is wrong."""
        self._account_events()
        for partition in range(self._topics.topics[MATCHED_EVENTS].partitions):
            self._matched_and_trades(partition)
        self._validated_orders()
        self.scan.fair_trades = sum(fairness.trades for fairness in self._fairness.values())
        return self.scan

    # -- account-events -------------------------------------------------------------------------

    def _account_events(self) -> None:
        opened: set[int] = set()
        used: set[str] = set()
        for source in self._partitions(ACCOUNT_EVENTS):
            for record in self._records(source, self._cut.reached(*source)):
                event = self._decoded(_account, record)
                if event is None or self._topics.partition_of_account(event.account_id, ACCOUNT_EVENTS) != (
                    record.partition
                ):
                    continue
                if isinstance(event, AccountOpened):
                    opened.add(event.account_id)
                elif (
                    event.account_id in opened
                    and event.deposit_id not in used
                    and event.amount_minor > 0
                    and event.asset in self._assets
                ):
                    used.add(event.deposit_id)
                    self.scan.balances.deposit(event.account_id, event.asset, event.amount_minor)

    # -- validated-orders -----------------------------------------------------------------------

    def _validated_orders(self) -> None:
        passed: dict[tuple[str, int], int] = {}
        for source in self._partitions(VALIDATED_ORDERS):
            for record in self._records(source, self._event_log.offsets(source)[1]):
                command = self._decoded(_command, record)
                if command is not None and self._topics.symbols.get(command.symbol) == record.partition:
                    self._take_command(command, record.offset, passed)
        for topic, value in self._cut.unsent:
            if topic == VALIDATED_ORDERS:
                self._take_command(_command(value), None, passed)
        for symbol, book in self.scan.books.items():
            if book.entered != self._handed_over.get(symbol, 0):
                differs(
                    "I3",
                    f"validated-orders {symbol}: {self._handed_over.get(symbol, 0)} orders up to offset"
                    f" {self._inputs.get(symbol)}, matched-events has {book.entered}",
                )

    def _take_command(
        self, command: Envelope, offset: int | None, passed: dict[tuple[str, int], int]
    ) -> None:
        """Count an order once; `offset` is None for one that may not be in the log yet."""
        assert isinstance(command, MatcherCommand)
        key = (command.symbol, command.source_partition)
        if command.source_offset <= passed.get(key, -1):
            self.scan.repeated += offset is not None
            return
        passed[key] = command.source_offset
        if not isinstance(command, EnterOrder | EnterOrderList | ReplaceRestingOrder):
            return
        orders = len(command.legs) if isinstance(command, EnterOrderList) else 1
        refused = None
        if isinstance(command, EnterOrderList):
            refused = self.scan.books[command.symbol].refused_lists.get(command.list_id)
        if command.source_offset < self._cut.requested.get(command.source_partition, 0):
            self.scan.accepted += orders
            if refused is None:
                self.scan.balances.reserve(command)
        if isinstance(command, EnterOrderList) and refused is not None:
            legs = [Ended(leg.order_id, 0, 0, "REJECTED", refused) for leg in command.legs]
            self._sink.ended(command.symbol, legs)
        elif offset is not None and offset <= self._inputs.get(command.symbol, -1):
            self._handed_over[command.symbol] = self._handed_over.get(command.symbol, 0) + orders

    # -- matched-events and trade-execution, side by side ---------------------------------------

    def _matched_and_trades(self, partition: int) -> None:
        """Read both topics of a partition, so that only the trades one is ahead by are remembered."""
        source = TopicPartition(MATCHED_EVENTS, partition)
        batches = self._trade_batches(partition)
        symbols = self._topics.symbols_of_partition(partition)
        expected: dict[str, dict[int, TradeTerms]] = {s: {} for s in symbols}
        found: dict[str, dict[int, TradeTerms]] = {s: {} for s in symbols}
        for batch in self._batches(source, self._cut.reached(*source)):
            for record in batch:
                self._take_matched(record, expected)
            _read_trades(batches, expected, found, everything=False)
        _read_trades(batches, expected, found, everything=True)
        for symbol, left in expected.items():
            missing = [t for t in left if t <= self._cut.trade_ids.get(symbol, 0)]
            if missing:
                where = f"trade-execution[{partition}]"
                differs("I4", f"{where}: {symbol} trade {min(missing)} of matched-events is missing")
        self.scan.unmatched_trades.update(found)

    def _take_matched(self, record: Record, expected: dict[str, dict[int, TradeTerms]]) -> None:
        event = self._decoded(_matched, record)
        if event is None or event.symbol not in expected:
            return
        where = f"matched-events[{record.partition}] offset {record.offset} ({event.symbol} {event.sequence})"
        hashes = self._hashes[event.symbol]
        digest = record_hash(record.value)
        if event.sequence in hashes and hashes[event.sequence] != digest:
            differs("I5", f"{where}: a repeated record has other bytes")
        try:
            fresh = self._matched.accept(event, record.value)
        except InvariantBroken as error:
            differs("I5", f"{where}: {error}")
        if not fresh:
            self.scan.repeated += 1
            return
        if event.input_offset <= self._inputs.get(event.symbol, -1):
            differs("I5", f"{where}: input offset {event.input_offset} does not rise")
        self._inputs[event.symbol] = event.input_offset
        hashes[event.sequence] = digest
        if len(hashes) > _REMEMBERED:
            hashes.popitem(last=False)
        book = self.scan.books[event.symbol]
        book.apply(event, digest, where)
        self._fairness[event.symbol].apply(event, where)
        self.scan.balances.release(event)
        for happened in event.events:
            if isinstance(happened, OrdersTraded):
                expected[event.symbol][happened.trade_id] = _matched_terms(happened)
        if len(book.ended) >= 5_000:
            self.flush_ended(book)

    def flush_ended(self, book: RebuiltBook) -> None:
        self._sink.ended(book.symbol, book.ended)
        book.ended = []

    def _trade_batches(self, partition: int) -> Iterator[dict[str, dict[int, TradeTerms]]]:
        source = TopicPartition(TRADE_EXECUTION, partition)
        for batch in self._batches(source, self._cut.reached(*source)):
            fresh: dict[str, list[TradeExecuted]] = {}
            for record in batch:
                trade = self._decoded(_trade, record)
                if trade is None or self._topics.symbols.get(trade.symbol) != partition:
                    continue
                try:
                    accepted = self._trades.accept(trade)
                except InvariantBroken as error:
                    differs("I5", f"trade-execution[{partition}] offset {record.offset}: {error}")
                if not accepted:
                    self.scan.repeated += 1
                    continue
                self.scan.balances.trade(trade)
                fresh.setdefault(trade.symbol, []).append(trade)
            for symbol, trades in fresh.items():
                self._sink.trades(symbol, trades)
            yield {symbol: {t.trade_id: _trade_terms(t) for t in trades} for symbol, trades in fresh.items()}

    # -- reading --------------------------------------------------------------------------------

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, p) for p in range(self._topics.topics[topic].partitions)]

    def _batches(self, source: TopicPartition, end: int) -> Iterator[list[Record]]:
        for batch in self._event_log.read(source, 0, end):
            self.scan.records += len(batch)
            self._progress(len(batch))
            yield batch

    def _records(self, source: TopicPartition, end: int) -> Iterator[Record]:
        for batch in self._batches(source, end):
            yield from batch

    def _decoded(self, decode: Callable[[bytes], msgspec.Struct], record: Record):  # type: ignore[no-untyped-def]
        """Return the message, or None for what every reader skips."""
        try:
            return decode(record.value)
        except InvalidMessage:
            self.scan.unreadable += 1
            return None


def add_unmatched(orders: dict[int, OpenOrder], trades: dict[int, TradeTerms]) -> None:
    """Count trades that are settled but not yet in the scanned part of `matched-events`."""
    for _, lots, quote, buyer, seller in trades.values():
        for order_id in (buyer, seller):
            if (order := orders.get(order_id)) is not None:
                order.executed_lots += lots
                order.executed_quote += quote


def _read_trades(
    batches: Iterator[dict[str, dict[int, TradeTerms]]],
    expected: dict[str, dict[int, TradeTerms]],
    found: dict[str, dict[int, TradeTerms]],
    everything: bool,
) -> None:
    """Read on until every expected trade was found (or to the end), and compare."""
    while everything or any(wanted.keys() - found[symbol].keys() for symbol, wanted in expected.items()):
        more = next(batches, None)
        if more is None:
            break
        for symbol, terms in more.items():
            found[symbol].update(terms)
    for symbol, wanted in expected.items():
        _compare_trades(symbol, wanted, found[symbol])


def _compare_trades(symbol: str, expected: dict[int, TradeTerms], found: dict[int, TradeTerms]) -> None:
    """Hold the trades that both topics have against each other, and forget them."""
    for trade_id in sorted(expected.keys() & found.keys()):
        if expected.pop(trade_id) != found.pop(trade_id):
            differs("I4", f"trade-execution {symbol}: trade {trade_id} is not the one of matched-events")


def _matched_terms(trade: OrdersTraded) -> TradeTerms:
    buyer, seller = trade.taker_order_id, trade.maker_order_id
    if trade.taker_side is Side.SELL:
        buyer, seller = seller, buyer
    return (trade.price_ticks, trade.quantity_lots, trade.quote_minor, buyer, seller)


def _trade_terms(trade: TradeExecuted) -> TradeTerms:
    return (
        trade.price_ticks,
        trade.quantity_lots,
        trade.quote_minor,
        trade.buyer_order_id,
        trade.seller_order_id,
    )
