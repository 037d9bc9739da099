"""The typed view of `topics.yaml`: the only place that maps a symbol or an account to a partition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

DEFAULT_PATH = Path(__file__).resolve().parent.parent / "topics.yaml"

ORDER_REQUESTS = "order-requests"
VALIDATED_ORDERS = "validated-orders"
MATCHED_EVENTS = "matched-events"
TRADE_EXECUTION = "trade-execution"
ORDER_REPLIES = "order-replies"
ACCOUNT_EVENTS = "account-events"
BOOK_SNAPSHOTS = "book-snapshots"
MATCHER_CLAIMS = "matcher-claims"
TRADE_BARS = "trade-bars"
CANDLES = "candles"
TICKERS = "tickers"
DEAD_LETTERS = "dead-letters"

ORDER_ID_STRIDE = 1024
"""An order id is offset * stride + leg * leg stride + partition + 1 of its request: unique, rising per
account, < 2**53."""
LEG_STRIDE = 256
LIST_LEG = ORDER_ID_STRIDE // LEG_STRIDE - 1
"""The legs of an order list are 0, 1, 2 of its request; this one is the list's own id."""


class InvalidTopics(ValueError):
    """`topics.yaml` says something that cannot be."""


@dataclass(frozen=True)
class Topic:
    name: str
    owner: str
    by: str
    """`account`, `symbol`, `worker` or `source`: what chooses the partition."""
    partitions: int
    config: dict[str, str]
    messages: tuple[str, ...]

    @property
    def keyed(self) -> bool:
        """True where growing the partitions would move keys."""
        return self.by in ("account", "symbol")


@dataclass(frozen=True)
class TopicMap:
    topics: dict[str, Topic]
    symbols: dict[str, int]

    def partition_of_symbol(self, symbol: str) -> int:
        """Raises KeyError for a symbol that is not in the map."""
        return self.symbols[symbol]

    def symbols_of_partition(self, partition: int) -> tuple[str, ...]:
        return tuple(s for s, p in self.symbols.items() if p == partition)

    def partition_of_account(self, account_id: int, topic: str = ORDER_REQUESTS) -> int:
        return account_id % self.topics[topic].partitions


def order_id_of(source_partition: int, source_offset: int, leg: int = 0) -> int:
    """Return the id of an order of the request at that place of `order-requests`."""
    return source_offset * ORDER_ID_STRIDE + leg * LEG_STRIDE + source_partition + 1


def list_id_of(source_partition: int, source_offset: int) -> int:
    """Return the id of the order list of the request at that place; no order has it."""
    return order_id_of(source_partition, source_offset, LIST_LEG)


def request_of(order_id: int) -> tuple[int, int]:
    """Return (partition, offset) of the request that `order_id_of` named."""
    offset, rest = divmod(order_id - 1, ORDER_ID_STRIDE)
    return rest % LEG_STRIDE, offset


def parse_topics(document: dict[str, Any]) -> TopicMap:
    """Return the typed view of a parsed `topics.yaml`. Raises InvalidTopics or KeyError."""
    defaults = document["defaults"]
    topics = {}
    for name, row in document["topics"].items():
        config = {k: str(v) for k, v in {**defaults, **row.get("config", {})}.items()}
        topics[name] = Topic(
            name, row["owner"], row["by"], int(row["partitions"]), config, tuple(row["messages"])
        )
    symbols = {symbol: int(partition) for symbol, partition in document["symbols"].items()}
    for topic in topics.values():
        if topic.by == "symbol" and max(symbols.values()) >= topic.partitions:
            raise InvalidTopics(f"{topic.name}: a symbol's partition is not below {topic.partitions}")
        if topic.by == "account" and topic.partitions > LEG_STRIDE:
            raise InvalidTopics(f"{topic.name}: more than {LEG_STRIDE} partitions")
    return TopicMap(topics, symbols)


@lru_cache(maxsize=8)
def load_topics(path: Path = DEFAULT_PATH) -> TopicMap:
    """Read and check the file; the result is cached per path."""
    return parse_topics(yaml.safe_load(path.read_text(encoding="utf-8")))
