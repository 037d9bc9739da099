"""The processor's batch: read, decide, commit, emit, tell Redis.

Batch n+1 commits only after everything batch n emitted is stored, so that `positions.last_batch`
always holds all that may not have gone out. Storing is waited for between the two round trips of the
next batch: by then it has nearly always happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from processor.decisions import decide
from processor.hot_orders import pending_orders
from processor.open_counts import OpenCounts, Pair
from processor.order_limits import Placing, counted, limit_of, resting_orders
from processor.order_rows import AcceptedOrder, accepted_orders
from processor.outbox import Emission, emissions, pack, unpack
from processor.outcomes import Outcome
from processor.own_output import check_known, newest_decisions
from processor.questions import named_orders, new_client_keys, priced_symbols, questions
from processor.requests import Poison, Received, read_request
from processor.reservations import Market
from processor.store import Answers, Moved, Store
from processor.view import ALL_SYMBOLS, ClientKey, Counted, CountKey, KnownOrder, View, by_client_key
from schemas.commands import ReplaceOrder
from schemas.events import RequestRejected
from schemas.instruments import Instruments
from schemas.topics import ORDER_REQUESTS, TopicMap
from service_runtime.clock import Clock
from service_runtime.dead_letter import DeadLetters
from service_runtime.errors import PositionLost
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.failpoints import Failpoint, reach
from service_runtime.hot_book import HotBook, HotBookAway, Touch

_log = structlog.get_logger("processor")
Touches = Callable[[], Mapping[str, Touch | None]]
"""Waits for what the hot book knows of symbols. Raises HotBookAway."""


class ProcessorHandler:
    """See service_runtime.service.Handler."""

    topics = (ORDER_REQUESTS,)
    group = "processor"

    def __init__(
        self,
        log: EventLog,
        store: Store,
        hot_book: HotBook,
        clock: Clock,
        topics: TopicMap,
        instruments: Instruments,
    ) -> None:
        self._event_log = log
        self._store = store
        self._hot_book = hot_book
        self._clock = clock
        self._topics = topics
        self._instruments = instruments
        self._dead_letters = DeadLetters(log, "processor")
        self._counts: OpenCounts[Pair] = OpenCounts(lambda pair: self._limits[pair[1]])
        self._kinds: OpenCounts[CountKey] = OpenCounts(lambda key: limit_of(key, instruments) or 0)
        self._limits = {s: i.max_open_orders for s, i in instruments.symbols.items()}
        self._positions: dict[int, int] = {}
        self._unflushed = False
        self._busy = False
        self._accepted = self._refused = 0

    # -- partitions -----------------------------------------------------------------------------

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Emit again what may not have gone out, and start where Postgres says. See `own_output`."""
        self._counts.forget()
        self._kinds.forget()
        decided = newest_decisions(self._event_log, self._topics)
        found = self._store.positions(range(self._topics.topics[ORDER_REQUESTS].partitions))
        check_known(self._event_log, decided, {p: position.next_offset for p, position in found.items()})
        for source in partitions:
            position = found[source.partition]
            low, high = self._event_log.offsets(source)
            if not low <= position.next_offset <= high:
                raise PositionLost(source.topic, source.partition, position.next_offset, f"{low} to {high}")
            reach(Failpoint.PROCESSOR_RECOVERY_BEFORE_PRODUCE)
            self._emit(unpack(position.last_batch))
        reach(Failpoint.PROCESSOR_RECOVERY_BEFORE_FLUSH)
        self._flush()
        reach(Failpoint.PROCESSOR_RECOVERY_AFTER_FLUSH)
        self._positions = {s.partition: found[s.partition].next_offset for s in partitions}
        return {source: found[source.partition].next_offset for source in partitions}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._flush()
        for source in partitions:
            self._positions.pop(source.partition, None)

    # -- batches --------------------------------------------------------------------------------

    def handle(self, batch: Sequence[Record]) -> Mapping[TopicPartition, int]:
        received = self._read(batch)
        nexts = {record.partition: record.offset + 1 for record in batch}
        wanted, kinds = self._wanted(received), self._wanted_kinds(received)
        symbols = priced_symbols(received, self._instruments)
        asked = msgspec.structs.replace(
            questions(received, self._instruments),
            positions={p: self._positions.get(p, -1) for p in nexts},
            open_counts=self._count_in_hot_book(wanted),
            counts=self._kinds.unsure(kinds),
            symbols=sorted(symbols),
        )
        touches = self._ask_touches(symbols)
        answers = self._store.read(asked)
        self._counts.learn(answers.open_counts)
        self._kinds.learn(answers.counts)
        self._count_everywhere(kinds)
        now_ns = self._clock.now_ns()
        markets = self._markets(symbols, touches, answers.last_prices)
        view = self._view(received, answers, markets, self._counts.of(wanted), self._kinds.of(kinds))
        decisions = decide(received, view, self._instruments, now_ns)
        out = emissions(received, decisions.outcomes, self._topics)
        self._flush()
        accepted = accepted_orders(decisions.outcomes)
        self._store.write(decisions.outcomes, accepted, decisions.locked, self._moved(nexts, out))
        self._positions.update(nexts)
        reach(Failpoint.PROCESSOR_BEFORE_PRODUCE)
        for source_partition in out:
            self._emit(out[source_partition])
        reach(Failpoint.PROCESSOR_AFTER_PRODUCE)
        self._note(received, decisions.outcomes)
        self._show(accepted)
        self._busy = True
        return {TopicPartition(ORDER_REQUESTS, p): offset for p, offset in nexts.items()}

    def idle(self) -> None:
        if self._busy:  # called right after a batch: perhaps the next one is there already
            self._busy = False
        else:
            self._flush()
            self._settle()

    def close(self) -> None:
        self._flush()
        self._settle()
        self._store.close()
        self._hot_book.close()

    def details(self) -> dict[str, Any]:
        return {"accepted": self._accepted, "refused": self._refused, "positions": dict(self._positions)}

    # -- inside ---------------------------------------------------------------------------------

    def _read(self, batch: Sequence[Record]) -> list[Received]:
        received = []
        for record in batch:
            request = read_request(record, self._topics)
            if isinstance(request, Poison):
                self._dead_letters.send(record, request.reason, request.detail)
                self._unflushed = True
            else:
                received.append(request)
        return received

    def _wanted(self, received: Sequence[Received]) -> Counter[Pair]:
        wanted: Counter[Pair] = Counter()
        for one in received:
            request = one.request
            if isinstance(request, Placing) and request.symbol in self._limits:
                wanted[request.account_id, request.symbol] += resting_orders(request)
        return +wanted

    def _wanted_kinds(self, received: Sequence[Received]) -> Counter[CountKey]:
        wanted: Counter[CountKey] = Counter()
        for one in received:
            request = one.request
            if isinstance(request, Placing) and request.symbol in self._limits:
                wanted.update(counted(request, self._instruments.exchange))
        return wanted

    def _count_in_hot_book(self, wanted: Mapping[Pair, int]) -> list[Pair]:
        """Learn open counts where the bound is not enough; return those that only Postgres can tell."""
        unsure = self._counts.unsure(wanted)
        if not unsure:
            return []
        try:
            found = self._hot_book.open_counts([(symbol, account) for account, symbol in unsure])
        except HotBookAway:
            return unsure
        self._counts.learn({(a, s): n for (s, a), n in found.items() if n is not None})
        return [(a, s) for (s, a), n in found.items() if n is None]

    def _count_everywhere(self, wanted: Mapping[CountKey, int]) -> None:
        """Learn from the hot book how many orders are open over all symbols, where Postgres leaves no room.

        Postgres hears of ends later, so what it counts is never too low. Here every symbol of the account
        is asked, which is worth it only when its order would be refused. Kinds are not counted here.
        """
        full = {account_id for account_id, _, kind in self._kinds.unsure(wanted) if kind is Counted.ORDERS}
        if not full:
            return
        try:
            found = self._hot_book.open_counts([(s, a) for a in full for s in self._limits])
        except HotBookAway:
            return
        for account_id in full:
            counts = [found[symbol, account_id] for symbol in self._limits]
            if None not in counts:
                self._kinds.learn({(account_id, ALL_SYMBOLS, Counted.ORDERS): sum(n for n in counts if n)})

    def _view(
        self,
        received: Sequence[Received],
        answers: Answers,
        markets: Mapping[str, Market],
        open_counts: Mapping[Pair, int],
        counts: Mapping[CountKey, int],
    ) -> View:
        newest, orders = self._newest(received, answers.named), answers.orders
        if any(isinstance(one.request, ReplaceOrder) for one in received):
            newest, orders = self._with_leaves(received, newest, orders)
        return View(
            accounts=answers.accounts,
            available=answers.available,
            newest=newest,
            orders=orders,
            open_counts=open_counts,
            markets=markets,
            counts=counts,
            lists=answers.lists,
            newest_lists=answers.newest_lists,
            positions=answers.positions_held,
        )

    def _with_leaves(
        self, received: Sequence[Received], newest: dict[ClientKey, KnownOrder], orders: dict[int, KnownOrder]
    ) -> tuple[dict[ClientKey, KnownOrder], dict[int, KnownOrder]]:
        """Learn what the orders that are to be replaced have locked: Postgres hears of trades later."""
        targets = named_orders(received, newest, orders)
        try:
            leaves = self._hot_book.open_leaves([(o.symbol, o.order_id) for o in targets])
        except HotBookAway:
            return newest, orders
        known = {
            o.order_id: msgspec.structs.replace(o, leaves_lots=left)
            for o in targets
            if (left := leaves[o.symbol, o.order_id]) is not None
        }
        return (
            {client_key: known.get(o.order_id, o) for client_key, o in newest.items()},
            {order_id: known.get(order_id, o) for order_id, o in orders.items()},
        )

    def _newest(
        self, received: Sequence[Received], named: Sequence[KnownOrder]
    ) -> dict[ClientKey, KnownOrder]:
        """Ask the hot book whether conflicting orders are still open: Postgres hears of an end later."""
        new = {client_key for one in received for client_key in new_client_keys(one.request)}
        found = by_client_key(named)
        doubtful = new if len(found) == len(named) else found.keys()
        conflicts = [
            o for o in named if o.is_open and (o.account_id, o.symbol, o.client_order_id) in doubtful
        ]
        if not conflicts:
            return found
        try:
            still = self._hot_book.still_open([(o.symbol, o.order_id) for o in conflicts])
        except HotBookAway:
            return found
        return by_client_key(
            msgspec.structs.replace(o, is_open=False) if still.get((o.symbol, o.order_id)) is False else o
            for o in named
        )

    def _ask_touches(self, symbols: Mapping[str, bool]) -> Touches:
        """Ask the hot book, which answers while Postgres does."""
        try:
            return self._hot_book.ask_touch(symbols) if symbols else dict
        except HotBookAway:
            return dict

    def _markets(
        self, symbols: Mapping[str, bool], ask: Touches, last_prices: Mapping[str, int]
    ) -> dict[str, Market]:
        try:
            touches = ask()
        except HotBookAway:
            touches = {}
        markets = {}
        for symbol in symbols:
            touch, last = touches.get(symbol), last_prices.get(symbol)
            if touch is None:
                markets[symbol] = Market(None, None, last)
            else:
                newest = touch.last_price_ticks if touch.last_price_ticks is not None else last
                markets[symbol] = Market(touch.bid_ticks, touch.ask_ticks, newest)
        return markets

    def _moved(self, nexts: Mapping[int, int], out: Mapping[int, list[Emission]]) -> dict[int, Moved]:
        return {
            partition: Moved(self._positions[partition], offset, pack(out.get(partition, [])))
            for partition, offset in nexts.items()
        }

    def _note(self, received: Sequence[Received], outcomes: Sequence[Outcome]) -> None:
        """Count what was accepted."""
        accepted = 0
        for one, outcome in zip(received, outcomes, strict=True):
            request = one.request
            if isinstance(request, Placing) and not isinstance(outcome, RequestRejected):
                accepted += 1
                pair = (request.account_id, request.symbol)
                if resting := resting_orders(request):
                    self._counts.accepted(pair, resting)
                for count_key, count in counted(request, self._instruments.exchange).items():
                    self._kinds.accepted(count_key, count)
        self._accepted += accepted
        self._refused += len(outcomes) - accepted

    def _show(self, orders: Sequence[AcceptedOrder]) -> None:
        """Show accepted orders in the hot book. Those the matcher has come to meanwhile are left alone.

        Nobody waits for it: it is done before whatever else is asked there.
        """
        reach(Failpoint.PROCESSOR_BEFORE_REDIS)
        try:
            self._hot_book.add_pending(pending_orders(orders, self._instruments))
        except HotBookAway:
            _log.debug("hot book away, pending orders not shown")
        reach(Failpoint.PROCESSOR_AFTER_REDIS)

    def _settle(self) -> None:
        with suppress(HotBookAway):
            self._hot_book.settle()

    def _emit(self, batch: Sequence[Emission]) -> None:
        append = self._event_log.append
        for one in batch:
            append(one.topic, one.partition, one.value, one.key)
        self._unflushed = self._unflushed or bool(batch)

    def _flush(self) -> None:
        if self._unflushed:
            reach(Failpoint.PROCESSOR_BEFORE_FLUSH)
            self._event_log.flush()
            reach(Failpoint.PROCESSOR_AFTER_FLUSH)
            self._unflushed = False
