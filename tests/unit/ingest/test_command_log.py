"""The way into the log: the account's partition, ids of its own, and the age of what is not stored."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ingest.command_log import CommandLog
from schemas.codec import decoder_for
from schemas.commands import PlaceOrder
from schemas.topics import ORDER_REQUESTS, load_topics
from service_runtime.clock import ManualClock
from service_runtime.errors import DeliveryFailed
from tests.builders import place_order


class Writer:
    """A log that stores what it is told to."""

    def __init__(self) -> None:
        self.records: list[tuple[str, int, bytes, bytes | None]] = []
        self.undelivered = 0

    def append(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        self.records.append((topic, partition, value, key))
        self.undelivered += 1

    def warm_up(self) -> None: ...

    def serve_delivery(self) -> None: ...

    def flush(self) -> None:
        self.undelivered = 0

    def close(self) -> None: ...


class Loop:
    """A loop whose calls come when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.calls.append((delay_s, call))

    def run(self) -> list[float]:
        """Make the calls; return after how long each was to come."""
        calls, self.calls = self.calls, []
        for _, call in calls:
            call()
        return [delay_s for delay_s, _ in calls]


def made(gather_s: float = 0.0) -> tuple[CommandLog, Writer, ManualClock]:
    log, writer, clock, _ = made_with_loop(gather_s)
    return log, writer, clock


def made_with_loop(gather_s: float) -> tuple[CommandLog, Writer, ManualClock, Loop]:
    writer, clock, loop = Writer(), ManualClock(), Loop()
    log = CommandLog(writer, load_topics(), clock.monotonic_s, loop.call_later, gather_s)
    return log, writer, clock, loop


def test_a_command_goes_to_its_accounts_partition() -> None:
    log, writer, _ = made()
    order = place_order(account_id=1006)
    log.append(order)
    log.hand_over()
    ((topic, partition, value, key),) = writer.records
    assert (topic, partition, key) == (ORDER_REQUESTS, 1006 % 4, b"1006")
    assert decoder_for(PlaceOrder)(value) == order


def test_ids_are_unique_and_client_ids_legal() -> None:
    log, other = made()[0], made()[0]
    ids = [log.new_id() for _ in range(1000)] + [other.new_id() for _ in range(1000)]
    assert len(set(ids)) == 2000
    assert len({log.new_client_id() for _ in range(1000)}) == 1000
    assert len(log.new_client_id()) == 22


def test_the_oldest_record_not_stored_has_an_age() -> None:
    log, writer, clock = made()
    log.tick()
    assert log.oldest_s() == 0.0
    log.append(place_order())
    log.hand_over()
    log.tick()
    clock.advance(1.0)
    log.append(place_order())
    log.hand_over()
    log.tick()
    clock.advance(0.5)
    assert log.oldest_s() == 1.5
    writer.undelivered = 1
    log.tick()
    assert log.oldest_s() == 0.5
    log.flush()
    assert log.oldest_s() == 0.0


def test_a_lone_command_goes_at_once_and_those_after_it_go_together() -> None:
    log, writer, clock, loop = made_with_loop(0.002)
    log.append(place_order(client_order_id="a"))
    log.append(place_order(client_order_id="b"))
    assert loop.run() == [0.0]
    assert len(writer.records) == 2
    clock.advance(0.0005)
    log.append(place_order(client_order_id="c"))
    log.append(place_order(client_order_id="d"))
    assert len(writer.records) == 2
    assert loop.run() == [pytest.approx(0.0015)]
    clock.advance(0.01)
    log.append(place_order(client_order_id="e"))
    assert loop.run() == [0.0]
    decode = decoder_for(PlaceOrder)
    assert [decode(value).client_order_id for _, _, value, _ in writer.records] == ["a", "b", "c", "d", "e"]


def test_what_is_gathered_is_not_stored_yet() -> None:
    log, writer, clock, _ = made_with_loop(0.002)
    log.append(place_order())
    log.tick()
    clock.advance(0.5)
    assert log.oldest_s() == 0.5
    log.flush()
    assert log.oldest_s() == 0.0
    assert len(writer.records) == 1


def test_a_command_that_is_not_taken_ends_the_process() -> None:
    class Broken(Writer):
        def append(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
            raise RuntimeError("no more")

    loop = Loop()
    log = CommandLog(Broken(), load_topics(), ManualClock().monotonic_s, loop.call_later, 0.0)
    log.append(place_order())
    with pytest.raises(RuntimeError):
        loop.run()
    with pytest.raises(DeliveryFailed, match="no more"):
        log.tick()
