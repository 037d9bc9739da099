from __future__ import annotations

from collections.abc import Iterable

import pytest

from matcher.handlers import MatcherHandler
from schemas.codec import encode
from schemas.instruments import load_instruments
from schemas.topics import MATCHED_EVENTS, ORDER_REPLIES, VALIDATED_ORDERS
from service_runtime.event_log import TopicPartition
from service_runtime.hot_book import HotBook
from service_runtime.memory_log import MemoryEventLog
from tests.unit.matcher.orders import BUY, SELL, Desk
from tests.unit.matcher.world import World, decode_matched


class NotedLog(MemoryEventLog):
    """Notes what is written where, and when it was waited for."""

    def __init__(self, world: World) -> None:
        super().__init__(world.broker)
        self.noted: list[str] = []

    def append_all(
        self, topic: str, partition: int, values: Iterable[bytes], key: bytes | None = None
    ) -> None:
        told = list(values)
        self.noted += [topic] * len(told)
        super().append_all(topic, partition, told, key)

    def flush(self) -> None:
        self.noted.append("flush")
        super().flush()


@pytest.mark.parametrize("every", [2, 50_000])
def test_all_partitions_of_a_batch_are_waited_for_together(every: int) -> None:
    """Even where one of them is cut at a snapshot that is due."""
    world = World()
    world.settings = world.settings.model_copy(update={"snapshot_every_records": every})
    partitions = {"BTCUSDT": 0, "ETHUSDT": 1}
    for symbol, partition in partitions.items():
        desk = Desk(load_instruments()[symbol])
        for order_id in (1, 2, 3):
            desk.enter(order_id, SELL if order_id % 2 else BUY, 100, order_id, reply_partition=0)
        for given in desk.inputs:
            world.broker.write(VALIDATED_ORDERS, partition, encode(given.command))
    log = NotedLog(world)
    handler = MatcherHandler(world.settings, log, HotBook(world.settings.redis), world.clock)
    sources = [TopicPartition(VALIDATED_ORDERS, partition) for partition in partitions.values()]
    log.assign(handler.on_assigned(sources))
    log.noted.clear()
    assert handler.handle(log.poll(100, 0)) == dict.fromkeys(sources, 3)
    rounds = " ".join(log.noted).split("flush")
    assert len(rounds) == (3 if every == 2 else 2)
    assert rounds[0].count(MATCHED_EVENTS) == (4 if every == 2 else 6)
    assert ORDER_REPLIES not in rounds[0]
    replied = [decode_matched(value).symbol for value in world.broker.values(ORDER_REPLIES)]
    assert sorted(replied) == ["BTCUSDT"] * 3 + ["ETHUSDT"] * 3
