"""What must be true whenever the exchange is quiet. Reads only the log and the database, as an auditor would.

Each topic is read once, on from where the last look ended: every command goes to an engine and to the slow
model of its own, and what the topics and tables hold must be what these two say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from matcher.inbox import Inbox
from matcher.inbox import Poison as MatcherPoison
from matcher.symbol_engine import Matched, SymbolEngine
from processor.requests import Poison as ProcessorPoison
from processor.requests import Received, read_request
from recorder.inbox import Poison as RecorderPoison
from recorder.inbox import read_event
from recorder.journal import ending
from schemas.codec import decoder_for, encode
from schemas.commands import EnterOrder, EnterOrderList, ReplaceRestingOrder
from schemas.events import (
    DeadLetter,
    FundsDeposited,
    OrderListRefused,
    RequestRejected,
)
from schemas.instruments import Instruments
from schemas.topics import (
    ACCOUNT_EVENTS,
    DEAD_LETTERS,
    MATCHED_EVENTS,
    ORDER_REPLIES,
    ORDER_REQUESTS,
    TRADE_EXECUTION,
    VALIDATED_ORDERS,
    TopicMap,
)
from service_runtime.event_log import Record, TopicPartition
from tapehouse.audit.balances import Balances
from tests.simulation.exchange.database import Database
from tests.simulation.exchange.sim_log import SimBroker
from tests.simulation.exchange.stores import legs_sum_to_zero
from tests.simulation.matcher.naive.matcher import NaiveMatcher

_decode_letter = decoder_for(DeadLetter)
Place = tuple[int, int]
"""Partition and offset."""


class Violation(AssertionError):
    """An invariant does not hold; the message begins with its name."""


def must(holds: bool, invariant: str, *what: object) -> None:
    if not holds:
        raise Violation(f"{invariant}: " + " ".join(map(str, what)))


class Truth:
    """One symbol as it must be: an engine of the real kind, and every record and trade it made."""

    def __init__(self, instruments: Instruments, symbol: str, slow: bool) -> None:
        self.engine = SymbolEngine(instruments[symbol])
        self.model = NaiveMatcher(instruments[symbol]) if slow else None
        self.records: list[Matched] = []
        self.trades: list[bytes] = []
        self.seen = 0
        """How many of the records stand in the topic."""
        self.seen_trades = 0
        self.input_offset = -1


class Checker:
    def __init__(
        self,
        broker: SimBroker,
        database: Database,
        topics: TopicMap,
        instruments: Instruments,
        slow_model: bool,
    ) -> None:
        self._broker, self._database = broker, database
        self._topics, self._instruments = topics, instruments
        self._inbox = Inbox(topics, instruments)
        self._read: dict[TopicPartition, int] = defaultdict(int)
        self.truths = {s: Truth(instruments, s, slow_model) for s in topics.symbols}
        self._requests: dict[Place, Received] = {}
        self._commands: dict[Place, bytes] = {}
        """What the processor made of each request that it accepted."""
        self._last_sources: dict[tuple[str, int], int] = {}
        self._matched_by_source: dict[Place, Matched] = {}
        self._balances = Balances(instruments)
        self._deposits: set[str] = set()
        self._ends: dict[int, str] = {}
        self._refused_lists: set[int] = set()
        self._poison: set[tuple[str, str]] = set()
        """(service, source) of every letter that must be there."""
        self._letters: set[tuple[str, str]] = set()

    def check(self, acknowledged: list[tuple[int, int, bytes]]) -> None:
        self._look_at_requests()
        self._look_at_commands()
        self._look_at_matched()
        self._look_at_trades()
        self._look_at_account_events()
        self._look_at_replies()
        self._look_at_letters()
        self._check_outcomes(acknowledged)
        self._check_money()
        self._check_orders()

    # -- topics -----------------------------------------------------------------------------------

    def _new(self, topic: str) -> Iterator[Record]:
        for partition in range(self._topics.topics[topic].partitions):
            source = TopicPartition(topic, partition)
            records = self._broker.records[source]
            start, self._read[source] = self._read[source], len(records)
            yield from records[start:]

    def _look_at_requests(self) -> None:
        for record in self._new(ORDER_REQUESTS):
            request = read_request(record, self._topics)
            if isinstance(request, ProcessorPoison):
                self._note_poison("processor", record)
            else:
                self._requests[record.partition, record.offset] = request

    def _look_at_commands(self) -> None:
        """I8, and that no command comes too late to be obeyed (the matcher drops what it has passed)."""
        for record in self._new(VALIDATED_ORDERS):
            inputs, poison = self._inbox.sort([record])
            for each in poison:
                assert isinstance(each, MatcherPoison)
                self._note_poison("matcher", record)
            for symbol, (given,) in inputs.items():
                command = given.command
                source = (command.source_partition, command.source_offset)
                known = self._commands.get(source)
                truth = self.truths[symbol]
                if known is not None:
                    must(known == record.value, "I5", "command of", source, "written twice, differently")
                else:
                    request = self._requests.get(source)
                    must(request is not None, "I8", "command of no request:", record.value)
                    last = self._last_sources.get((symbol, source[0]), -1)
                    must(source[1] > last, "I3", f"{symbol}: command of {source} came after that of {last}")
                    self._commands[source] = record.value
                    self._last_sources[symbol, source[0]] = source[1]
                    if isinstance(command, EnterOrder | EnterOrderList | ReplaceRestingOrder):
                        self._balances.reserve(command)
                made = truth.engine.apply([given])
                must(len(made) == (known is None), "I5", f"{symbol}: {len(made)} records of {source}")
                if truth.model is not None:
                    slow = truth.model.apply(command, given.partition, given.offset)
                    same = [m.data for m in made] == ([] if slow is None else [encode(slow)])
                    must(same, "I9", f"{symbol}: the slow model differs at {record.offset}")
                for matched in made:
                    self._expect(truth, matched)

    def _expect(self, truth: Truth, matched: Matched) -> None:
        truth.records.append(matched)
        truth.trades += [encode(trade) for trade in matched.trades]
        record = matched.record
        self._matched_by_source[record.source_partition, record.source_offset] = matched
        must(record.input_offset > truth.input_offset, "I5", "input offsets do not rise:", record)
        truth.input_offset = record.input_offset
        refused = [e.list_id for e in record.events if isinstance(e, OrderListRefused)]
        self._refused_lists.update(refused)
        self._balances.release(record)
        for list_id in refused:
            self._give_back(list_id)
        for trade in matched.trades:
            self._balances.trade(trade)
        for event in record.events:
            end = ending(event)
            if end is not None:
                must(end.order_id not in self._ends, "I3", f"order {end.order_id} ends twice")
                self._ends[end.order_id] = end.ended

    def _give_back(self, list_id: int) -> None:
        """Undo the reservation of a refused list: its row sums come from the ledger's own words."""
        for (source, partition, offset, _), row in self._database.ledger.items():
            if source == "R" and (list_id - 1) // 1024 == offset and (list_id - 1) % 256 == partition:
                key = (row[0], row[1])
                self._balances.available[key] = self._balances.available.get(key, 0) - row[2]
                self._balances.locked[key] = self._balances.locked.get(key, 0) - row[3]

    def _look_at_matched(self) -> None:
        """I5: what a reader sees is what the truth says, byte for byte, repeated records too."""
        for record in self._new(MATCHED_EVENTS):
            event = read_event(record, self._topics, self._instruments)
            if isinstance(event, RecorderPoison):
                self._note_poison("recorder", record)
                continue
            truth, sequence = self.truths[event.symbol], event.sequence
            must(sequence <= truth.seen + 1, "I5", f"{event.symbol}: {sequence} follows {truth.seen}")
            must(sequence <= len(truth.records), "I8", f"{event.symbol}: {sequence} has no cause")
            same = truth.records[sequence - 1].data == record.value
            must(same, "I5", f"{event.symbol} {sequence} at {record.offset} has other bytes")
            truth.seen = max(truth.seen, sequence)
        for symbol, truth in self.truths.items():
            must(
                truth.seen == len(truth.records), "I3", f"{symbol}: {truth.seen} of {len(truth.records)} told"
            )

    def _look_at_trades(self) -> None:
        """I4, topic."""
        for record in self._new(TRADE_EXECUTION):
            event = read_event(record, self._topics, self._instruments)
            if isinstance(event, RecorderPoison):
                self._note_poison("recorder", record)
                continue
            truth, number = self.truths[event.symbol], event.trade_id
            must(number <= truth.seen_trades + 1, "I4", f"{event.symbol}: {number} after {truth.seen_trades}")
            must(number <= len(truth.trades), "I8", f"{event.symbol}: trade {number} has no cause")
            must(truth.trades[number - 1] == record.value, "I4", f"{event.symbol}: trade {number} differs")
            truth.seen_trades = max(truth.seen_trades, number)
        for symbol, truth in self.truths.items():
            must(truth.seen_trades == len(truth.trades), "I4", f"{symbol}: {truth.seen_trades} trades told")

    def _look_at_account_events(self) -> None:
        for record in self._new(ACCOUNT_EVENTS):
            event = read_event(record, self._topics, self._instruments)
            if isinstance(event, RecorderPoison):
                self._note_poison("recorder", record)
            elif isinstance(event, FundsDeposited) and event.deposit_id not in self._deposits:
                self._deposits.add(event.deposit_id)
                self._balances.deposit(event.account_id, event.asset, event.amount_minor)

    def _look_at_replies(self) -> None:
        """What a client is told is what happened."""
        told = {m.data for m in self._matched_by_source.values()}
        for record in self._new(ORDER_REPLIES):
            if record.value not in told:
                reply = _decode_reply(record.value)
                row = self._database.rejections.get((reply.source_partition, reply.source_offset))
                same = row is not None and row[3] == reply.reason
                must(same, "I3", "a client was told", record.value, "the table says", row)

    def _look_at_letters(self) -> None:
        for record in self._new(DEAD_LETTERS):
            letter = _decode_letter(record.value)
            self._letters.add((letter.service, letter.correlation_id))
        for each in sorted(self._poison - self._letters):
            must(False, "R8", "no dead letter of", each)
        for service, source in sorted(self._letters - self._poison):
            # the matcher also reads its own output back
            known = ("recorder", source) in self._poison and source.startswith(MATCHED_EVENTS)
            must(service == "matcher" and known, "R8", "a dead letter of what is none", service, source)

    def _note_poison(self, service: str, record: Record) -> None:
        self._poison.add((service, f"{record.topic}-{record.partition}-{record.offset}"))

    # -- tables -----------------------------------------------------------------------------------

    def _check_outcomes(self, acknowledged: list[tuple[int, int, bytes]]) -> None:
        """I3, I11: every request that is stored was refused or became one command, not both."""
        rejections = self._database.rejections
        for place in self._requests:
            command, refused = place in self._commands, place in rejections
            must(command != refused, "I11", f"request {place}: command {command}, refused {refused}")
            if command:
                must(place in self._matched_by_source, "I3", f"request {place} has no record")
        for place in rejections:
            must(place in self._requests, "I8", f"no request {place} was refused")
        for partition, offset, data in acknowledged:
            records = self._broker.records[TopicPartition(ORDER_REQUESTS, partition)]
            must(records[offset].value == data, "I3", f"acknowledged request {partition}/{offset} is lost")

    def _check_money(self) -> None:
        """I1, I2, I4 in the database."""
        data = self._database
        wallets = {key: (row[0], row[1]) for key, row in data.wallets.items() if any(row)}
        for key, (available, locked) in wallets.items():
            must(locked >= 0 and (available >= 0 or key[0] == 1), "I1", key, available, locked)
        expected = self._balances.rows()
        for key in sorted(wallets.keys() | expected.keys()):
            found, wanted = wallets.get(key), expected.get(key)
            must(found == wanted, "I1", f"wallet {key} holds {found}, the log says {wanted}")
        must(not legs_sum_to_zero(data.ledger), "I2", legs_sum_to_zero(data.ledger))
        sums: dict[tuple[int, str], list[int]] = {}
        for row in data.ledger.values():
            pair = sums.setdefault((row[0], row[1]), [0, 0])
            pair[0] += row[2]
            pair[1] += row[3]
        summed = {key: tuple(pair) for key, pair in sums.items() if any(pair)}
        must(summed == wallets, "I2", "wallets are not the sum of their ledger rows")
        trades = {(s, n + 1) for s, truth in self.truths.items() for n in range(len(truth.trades))}
        must(data.trades.keys() == trades, "I4", "trades of the table", data.trades.keys() ^ trades)
        booked = {(row[5], row[6]) for key, row in data.ledger.items() if key[0] == "T"}
        must(booked == trades, "I4", "trades of the ledger", booked ^ trades)

    def _check_orders(self) -> None:
        """I3, I6 in the database: what is open and how far it got."""
        rows = self._database.orders
        opened: dict[int, Any] = {}
        for truth in self.truths.values():
            opened |= truth.engine.book.orders
            names = [(o.account_id, o.client_order_id) for o in truth.engine.book.orders.values()]
            must(len(set(names)) == len(names), "I3", "two open orders of one client order id", sorted(names))
        for order_id, row in rows.items():
            order = opened.get(order_id)
            if order is None:
                ended = self._ends.get(order_id)
                if ended is None and row.list_id in self._refused_lists:
                    ended = "REJECTED"
                must(row.ended is not None and row.ended == ended, "I3", f"{row} ended {ended}")
            else:
                must(row.ended is None, "I3", f"{row} is open in the book")
                must(row.client_order_id == order.client_order_id, "I3", f"{row} is {order.client_order_id}")
        must(opened.keys() <= rows.keys(), "I8", "open orders that no table has", opened.keys() - rows.keys())
        executed: dict[int, int] = defaultdict(int)
        for truth in self.truths.values():
            for matched in truth.records:
                for trade in matched.trades:
                    executed[trade.buyer_order_id] += trade.quantity_lots
                    executed[trade.seller_order_id] += trade.quantity_lots
        for order_id, row in rows.items():
            must(row.executed_lots == executed.get(order_id, 0), "I3", f"{row}: {executed.get(order_id)}")


_decode_reply: Callable[[bytes], RequestRejected] = decoder_for(RequestRejected)
