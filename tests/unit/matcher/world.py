"""A matcher on a log in memory, whose process may die between any two records it writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matcher import SymbolEngine
from matcher.handlers import MatcherHandler
from matcher.settings import MatcherSettings
from schemas.codec import decoder_for, encode
from schemas.events import CommandMatched, TradeExecuted
from schemas.topics import DEFAULT_PATH, MATCHED_EVENTS, TRADE_EXECUTION, VALIDATED_ORDERS, load_topics
from service_runtime.clock import ManualClock
from service_runtime.event_log import TopicPartition
from service_runtime.hot_book import HotBook
from service_runtime.memory_log import MemoryBroker, MemoryEventLog
from service_runtime.sequence import MatchedSequence, TradeSequence
from service_runtime.settings import RedisSettings
from tests.unit.matcher.orders import Desk

INPUT = TopicPartition(VALIDATED_ORDERS, 0)
NO_REDIS = RedisSettings(url="redis://127.0.0.1:1/0", timeout_ms=100, retry_after_ms=3_600_000)
decode_matched = decoder_for(CommandMatched)
decode_trade = decoder_for(TradeExecuted)


class Died(Exception):
    """The process was killed."""


class MortalLog(MemoryEventLog):
    """Stores `appends_left` more records, then dies; None lives for ever."""

    appends_left: int | None = None

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        if self.appends_left is not None:
            if not self.appends_left:
                raise Died
            self.appends_left -= 1
        super().append(topic, partition, value, key, headers)


class World:
    """One broker; `start` begins a new matcher process on partition 0."""

    def __init__(self, settings: MatcherSettings | None = None) -> None:
        self.settings = settings or MatcherSettings(redis=NO_REDIS)
        topics = load_topics(self.settings.topics_file)
        self.broker = MemoryBroker({t.name: t.partitions for t in topics.topics.values()})
        self.clock = ManualClock()

    def feed(self, desk: Desk) -> None:
        """Write a desk's commands to the input."""
        for given in desk.inputs:
            self.write(encode(given.command))

    def write(self, value: bytes) -> None:
        self.broker.write(VALIDATED_ORDERS, 0, value)

    def start(self, appends: int | None = None) -> Process:
        return Process(self, appends)

    def run(self, appends: int | None = None) -> Process:
        """Start a process and let it handle all there is; it may die."""
        process = self.start(appends)
        process.drain()
        return process

    def history(self) -> list[bytes]:
        """Return the matched records as a checking reader sees them: no duplicate, no gap, one chain."""
        reader = MatchedSequence()
        values = self.broker.values(MATCHED_EVENTS)
        return [v for v in values if reader.accept(decode_matched(v), v)]

    def trades(self) -> list[int]:
        reader = TradeSequence()
        found = map(decode_trade, self.broker.values(TRADE_EXECUTION))
        return [trade.trade_id for trade in found if reader.accept(trade)]

    def last_trade(self, symbol: str) -> int:
        """Return the symbol's last trade id, after checking that none is missing."""
        reader = TradeSequence()
        for value in self.broker.values(TRADE_EXECUTION):
            reader.accept(decode_trade(value))
        return reader.positions.get(symbol, 0)


class Process:
    def __init__(self, world: World, appends: int | None) -> None:
        self.log = MortalLog(world.broker)
        self.log.appends_left = appends
        hot = HotBook(world.settings.redis)
        self.handler = MatcherHandler(world.settings, self.log, hot, world.clock)
        self.log.assign(self.handler.on_assigned([INPUT]))

    def step(self, most: int = 7) -> bool:
        batch = self.log.poll(most, 0)
        if batch:
            self.handler.handle(batch)
            self.handler.idle()
        return bool(batch)

    def drain(self) -> None:
        while self.step():
            pass

    def engine(self, symbol: str = "BTCUSDT") -> SymbolEngine:
        return self.handler.books(0).engines[symbol]


def two_symbols(folder: Path, **more: Any) -> MatcherSettings:
    """Return settings under which BTCUSDT and ETHUSDT share partition 0."""
    file = folder / "topics.yaml"
    file.write_text(DEFAULT_PATH.read_text().replace("ETHUSDT: 1", "ETHUSDT: 0"))
    return MatcherSettings(redis=NO_REDIS, topics_file=file, **more)


def expected(desk: Desk) -> list[bytes]:
    """Return what one undisturbed engine makes of the desk's commands."""
    return [m.data for m in SymbolEngine(desk.instrument).apply(desk.inputs)]
