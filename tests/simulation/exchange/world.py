"""The simulated exchange of one seed: nodes, traders, faults, quiet points, and what is checked at them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from matcher.handlers import MatcherHandler
from matcher.settings import MatcherSettings, StandbySettings
from matcher.standby import StandbyHandler
from matcher.text_view import render
from processor.handlers import ProcessorHandler
from recorder.handlers import RecorderHandler
from schemas.hot_book import key as hot_key
from schemas.instruments import load_instruments
from schemas.orders import Side
from schemas.topics import (
    ACCOUNT_EVENTS,
    MATCHED_EVENTS,
    ORDER_REQUESTS,
    TRADE_EXECUTION,
    VALIDATED_ORDERS,
    load_topics,
)
from service_runtime.event_log import TopicPartition
from service_runtime.service import Handler
from tests.simulation.exchange.checks import Checker, must
from tests.simulation.exchange.database import Database
from tests.simulation.exchange.faults import Faults
from tests.simulation.exchange.process import Node, Process, SimClock
from tests.simulation.exchange.scheduler import MS, SECOND, NeverSettles, Scheduler
from tests.simulation.exchange.sim_log import SimBroker
from tests.simulation.exchange.sim_redis import SimHotBook, SimRedis
from tests.simulation.exchange.stores import SimProcessorStore, SimRecorderStore
from tests.simulation.exchange.strikes import Strikes
from tests.simulation.exchange.traders import Traders

_HERE = Path(__file__).resolve().parent
TOPICS = load_topics(_HERE / "topics.yaml")
INSTRUMENTS = load_instruments(_HERE / "instruments.yaml")
SERVICES = ("processor", "matcher", "recorder", "matcher-standby")
_SETTLES_WITHIN_NS = 150 * SECOND


class World:
    """One exchange, from its first record. Everything in it follows from the seed."""

    def __init__(self, seed: int, slow_model: bool = True) -> None:
        self.seed = seed
        self.scheduler = Scheduler(seed)
        dice = self.scheduler.dice
        self.faults = Faults(dice)
        self.broker = SimBroker(self.scheduler, TOPICS)
        self.database = Database()
        self.redis = SimRedis(lambda: self.scheduler.now_ns)
        self.ends: Counter[str] = Counter()
        """Lives of processes by what ended them, beside crashes."""
        self.max_batch = dice.choice((1, 4, 30, 500))
        counts = [dice.choice(few) for few in ((1, 2, 2), (1, 2, 2), (1, 2, 2), (0, 0, 1, 2))]
        self._settings = {
            "snapshot_every_records": dice.choice((3, 10, 40)),
            "snapshot_every_s": dice.choice((0.3, 2, 60)),
            "resent_replies": dice.choice((0, 5, 1_000)),
            "snapshot_fork_above": 10**9,
            "topics_file": _HERE / "topics.yaml",
            "instruments_file": _HERE / "instruments.yaml",
        }
        self.nodes = [
            Node(self, service, instance)
            for service, count in zip(SERVICES, counts, strict=True)
            for instance in range(count)
        ]
        self.traders = Traders(self.scheduler, self.broker, TOPICS, INSTRUMENTS, self.faults)
        self.checker = Checker(self.broker, self.database, TOPICS, INSTRUMENTS, slow_model)
        self.symbols = list(TOPICS.symbols)
        self.strikes = Strikes(self)
        self._pace_ns = dice.choice((2, 5, 15)) * MS

    # -- what nodes run ---------------------------------------------------------------------------

    def build(self, process: Process) -> Handler:
        """Compose the service's own handler, as its app does, on what is simulated."""
        clock = SimClock(process)
        process.reach("build")
        if process.node.service == "processor":
            store = SimProcessorStore(process.connection, INSTRUMENTS)
            hot = SimHotBook(self.redis, process)
            return ProcessorHandler(process.log, store, hot, clock, TOPICS, INSTRUMENTS)
        if process.node.service == "matcher":
            settings = MatcherSettings(instance=process.node.instance, **self._settings)
            return MatcherHandler(settings, process.log, SimHotBook(self.redis, process), clock)
        if process.node.service == "matcher-standby":
            standby = StandbySettings(instance=process.node.instance, **self._settings)
            return StandbyHandler(standby, process.log, SimHotBook(self.redis, process), clock)
        return RecorderHandler(process.log, SimRecorderStore(process.connection), clock, TOPICS, INSTRUMENTS)

    # -- a run ------------------------------------------------------------------------------------

    def run(self, rounds: int = 3, requests: int = 60) -> None:
        """Open, then load and faults, quiet and checks, again and again; at the end everything is closed."""
        self.traders.open_accounts()
        self.settle("open")
        for number in range(rounds):
            self.faults.on = True
            target = self.traders.sent + requests
            while self.traders.sent < target:
                self.traders.act()
                if not self.traders.sent % 8:
                    self.strikes.keep_redis()
                self._run_for(self.scheduler.between(0, 2 * self._pace_ns))
            self.faults.on = False
            self.traders.open_markets()
            self.settle(f"round {number}")
        self.traders.cancel_everything()
        self.settle("end")
        self._check_end()

    def close(self) -> None:
        """End every process where it stands: what a suspended one holds would never be given back."""
        for node in self.nodes:
            if node.process is not None:
                node.process.dead = True
                node.process.task.kill()

    def _run_for(self, duration_ns: int) -> None:
        self.scheduler.run_until(self.scheduler.now_ns + duration_ns)

    def settle(self, name: str) -> None:
        """Let everything come to rest without faults, and check. Raises NeverSettles or Violation."""
        self.redis.away_until_ns = 0
        for node in self.nodes:
            node.skew_ns = max(min(node.skew_ns, 50 * MS), -50 * MS)
        end_ns = self.scheduler.now_ns + _SETTLES_WITHIN_NS
        self._run_for(50 * MS)
        quiet = False
        while not quiet:  # a matcher may just have found a hot book to write anew
            if not self.scheduler.run_until(end_ns, self._is_quiet):
                raise NeverSettles(f"{name}: after {_SETTLES_WITHIN_NS // SECOND} s {self._unsettled()}")
            self._run_for(20 * MS)
            quiet = self._is_quiet()
        self.scheduler.tell("world", f"quiet: {name}, {self.faults.counts.total()} faults so far")
        self.checker.check(self.traders.acknowledged)
        self._check_owners()
        self._check_hot_books()

    def _is_quiet(self) -> bool:
        return not self._unsettled()

    def _unsettled(self) -> str:
        """Return what still moves."""
        if not self.traders.quiet or self.broker.in_flight:
            return f"{self.broker.in_flight} records are under way"
        for node in self.nodes:
            moving = self._unsettled_node(node)
            if moving:
                return f"{node.name} {moving}"
        for service, topic in (
            ("processor", ORDER_REQUESTS),
            ("recorder", MATCHED_EVENTS),
            ("recorder", TRADE_EXECUTION),
            ("recorder", ACCOUNT_EVENTS),
        ):
            for partition in range(TOPICS.topics[topic].partitions):
                end = self.broker.bounds(TopicPartition(topic, partition))[1]
                position = self.database.positions.get((service, topic, partition), [0])[0]
                if position != end:
                    return f"{service} stands at {position} of {end} on {topic}[{partition}]"
        return self._unmatched() or self._hot_behind()

    def _unsettled_node(self, node: Node) -> str:
        process = node.process
        if process is None or process.handler is None:
            return "is not running"
        if process.frozen_until_ns > self.scheduler.now_ns:
            return "is frozen"
        if not process.log.settled:
            return "does not work on what its group has given it"
        return next((f"is {n} behind on {source}" for source, n in process.log.lag().items() if n), "")

    def _owners(self) -> Iterator[tuple[Process, int]]:
        """Yield who matches which partition, as far as each knows."""
        for node in self.nodes:
            if node.service == "matcher" and node.process is not None:
                for source in node.process.log.positions:
                    yield node.process, source.partition

    def _unmatched(self) -> str:
        owned = {partition for _, partition in self._owners()}
        missing = set(range(TOPICS.topics[VALIDATED_ORDERS].partitions)) - owned
        if missing:
            return f"nobody matches {missing}"
        for process, partition in self._owners():
            end = self.broker.bounds(TopicPartition(VALIDATED_ORDERS, partition))[1]
            at = self._books(process, partition).next_offset
            if at != end:
                return f"{process.name} is at {at} of {end} on validated-orders[{partition}]"
        return ""

    def _hot_behind(self) -> str:
        for process, partition in self._owners():
            for symbol, engine in self._books(process, partition).engines.items():
                stamp = self.redis.keys.get(hot_key(symbol, "stamp"))
                if stamp is None or stamp["hash"] != engine.last_hash:
                    return f"the hot book of {symbol} is behind"
        return ""

    @staticmethod
    def _books(process: Process, partition: int) -> Any:
        assert isinstance(process.handler, MatcherHandler)
        return process.handler.books(partition)

    def digest(self) -> str:
        """Return a hash over all that happened."""
        said = blake2b(digest_size=16)
        for source, records in sorted(self.broker.records.items()):
            for record in records:
                said.update(f"{source}{record.offset}{record.timestamp_ms}".encode() + record.value)
        said.update(repr(self.database.dump()).encode())
        said.update(repr((self.scheduler.now_ns, sorted(self.faults.counts.items()))).encode())
        return said.hexdigest()

    # -- checks of what is in memory --------------------------------------------------------------

    def _check_owners(self) -> None:
        """I6, I7: whoever owns a book has exactly the one that the log makes."""
        for process, partition in self._owners():
            for symbol, engine in self._books(process, partition).engines.items():
                truth = self.checker.truths[symbol].engine
                must(engine.last_hash == truth.last_hash, "I6", f"{process.name} {symbol}: another history")
                must(engine.book_hash() == truth.book_hash(), "I6", f"{process.name} {symbol}: another book")
                # all it will ever depend on, but for where it read last
                must(engine.passed == truth.passed, "I6", f"{process.name} {symbol}: other sources passed")

    def _check_hot_books(self) -> None:
        """I6: what Redis shows is the book."""
        for symbol, truth in self.checker.truths.items():
            book, keys = truth.engine.book, self.redis.keys
            shown = {int(i) for i in keys.get(hot_key(symbol, "orders"), ())}
            differing = shown ^ set(book.orders)
            must(not differing, "I6", f"hot {symbol}: orders {differing}\n", render(book))
            for part, side in (("bids", "BUY"), ("asks", "SELL")):
                levels = list(book.ladder(Side(side)).in_priority())
                expected = {level.price_ticks: level.lots for level in levels}
                lots = keys.get(hot_key(symbol, f"{part[:-1]}_lots"), {})
                found = {int(price): int(quantity) for price, quantity in lots.items()}
                must(found == expected, "I6", f"hot {symbol} {part}: {found}, the book has {expected}")

    def _check_end(self) -> None:
        """Nothing is locked once everything is canceled; redelivery changes nothing (I10)."""
        for truth in self.checker.truths.values():
            must(not truth.engine.book.orders, "I3", "open after everything was canceled")
        for key, (_, locked) in self.database.wallets.items():
            must(locked == 0, "I1", f"{key} has {locked} locked, and no order is open")
        self._redeliver()

    def _redeliver(self) -> None:
        before = self.database.dump()
        node = next(node for node in self.nodes if node.service == "recorder")
        sources = [s for s in sorted(self.broker.records) if s.topic in RecorderHandler.topics]

        class Again(Process):
            def _run(self) -> None:
                handler = self.world.build(self)
                handler.on_assigned(sources)
                for source in sources:
                    records = self.world.broker.records[source]
                    for start in range(0, len(records), 50):
                        handler.handle(records[start : start + 50])

        again = Again(node)
        done = self.scheduler.run_until(self.scheduler.now_ns + 60 * SECOND, lambda: again.task.ended)
        must(done, "I10", "redelivery does not end")
        for table, rows in self.database.dump().items():
            must(before[table] == rows, "I10", f"redelivery changed {table}")
