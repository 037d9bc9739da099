"""The loop on a memory log."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError

import pytest

from service_runtime.errors import InvariantBroken
from service_runtime.event_log import Record, TopicPartition
from service_runtime.memory_log import MemoryBroker, MemoryEventLog
from service_runtime.service import EXIT_FAULT, Service, rest_after
from service_runtime.settings import ServiceSettings

SOURCE = TopicPartition("in", 0)


class Copier:
    """Copies `in` to `out`; stops the service when it has seen `stop`, breaks on `break`."""

    topics = ("in",)
    group = "copier"

    def __init__(self, log: MemoryEventLog) -> None:
        self.log = log
        self.service: Service | None = None
        self.closed = False
        self.handled = threading.Event()

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None: ...

    def handle(self, batch: Sequence[Record]) -> Mapping[TopicPartition, int]:
        for record in batch:
            if record.value == b"break":
                raise InvariantBroken("the book is crossed")
            if record.value == b"stop" and self.service is not None:
                self.service.stop()
            self.log.append("out", 0, record.value)
        self.handled.set()
        return {record.source: record.offset + 1 for record in batch}

    def idle(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def details(self) -> dict[str, Any]:
        return {"copied": len(self.log.broker.values("out"))}


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker({"in": 1, "out": 1})


def build(broker: MemoryBroker, **settings: Any) -> tuple[Service, Copier]:
    log = MemoryEventLog(broker)
    handler = Copier(log)
    handler.service = Service("copier", ServiceSettings(**settings), log, handler)
    return handler.service, handler


def test_service_handles_everything_commits_and_stops_with_0(broker: MemoryBroker) -> None:
    for value in (b"a", b"b", b"stop"):
        broker.write("in", 0, value)
    service, handler = build(broker)
    assert service.run() == 0
    assert broker.values("out") == [b"a", b"b", b"stop"]
    assert broker.committed["copier"] == {SOURCE: 3}
    assert handler.closed


def test_broken_invariant_ends_the_process_with_a_fault(
    broker: MemoryBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.write("in", 0, b"break")
    service, handler = build(broker)
    assert service.run() == EXIT_FAULT
    assert "the book is crossed" in capsys.readouterr().out
    assert handler.closed
    assert broker.committed["copier"] == {SOURCE: 0}


class ForgetfulLog(MemoryEventLog):
    """Loses the first commit that says anything, as a coordinator may that is just loading."""

    lost = False

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        if not self.lost and next_offsets.get(SOURCE):
            self.lost = True
            return
        super().commit(next_offsets)


@contextmanager
def copying(log: MemoryEventLog) -> Iterator[Callable[[int], bool]]:
    """A service at work on the log; what it yields waits until the group's offset has been this one."""
    told, changed = set[int](), threading.Condition()

    class Watcher(Copier):
        def idle(self) -> None:
            with changed:
                told.update(log.broker.committed["copier"].values())
                changed.notify()

    def wait(offset: int) -> bool:
        with changed:
            return changed.wait_for(lambda: offset in told, 60)

    service = Service("copier", ServiceSettings(), log, Watcher(log))
    thread = threading.Thread(target=service.run)
    thread.start()
    try:
        yield wait
    finally:
        service.stop()
        thread.join(60)


def test_a_lost_commit_is_told_again_though_nothing_more_comes(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service_runtime.service._TELL_AGAIN_S", 0.0)
    log = ForgetfulLog(broker)
    broker.write("in", 0, b"a")
    with copying(log) as told:
        assert told(1)
    assert log.lost


def test_a_quiet_log_is_told_at_once(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A symbol in an auction has one record a second: its lag must not stand at one until the next."""
    monkeypatch.setattr("service_runtime.service._COMMIT_EVERY_S", 3_600.0)
    with copying(MemoryEventLog(broker)) as told:
        assert told(0)
        broker.write("in", 0, b"a")
        assert told(1)
        broker.write("in", 0, b"b")
        assert told(2)


def test_health_says_ready_with_details_then_stops(broker: MemoryBroker, unused_tcp_port: int) -> None:
    service, handler = build(broker, health_port=unused_tcp_port)
    thread = threading.Thread(target=service.run)
    broker.write("in", 0, b"a")
    thread.start()
    try:
        assert handler.handled.wait(60)
        with urllib.request.urlopen(f"http://127.0.0.1:{unused_tcp_port}/health/ready") as answer:
            body = json.load(answer)
        assert body["ready"]
        assert body["copied"] == 1
        with urllib.request.urlopen(f"http://127.0.0.1:{unused_tcp_port}/metrics") as answer:
            assert b"tapehouse_batches_total" in answer.read()
        with pytest.raises(HTTPError, match="404") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{unused_tcp_port}/secret")
        refused.value.close()
    finally:
        service.stop()
        thread.join(60)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("records", "took_s", "rest_s"),
    [
        (1, 0.001, 0.007),  # up to the interval
        (1, 0.010, 0.010),  # as long as it took
        (1, 0.200, 0.040),  # but not for long
        (200, 0.001, 0.007),
        (200, 0.010, 0.0),  # large enough
    ],
)
def test_the_loop_rests_longer_the_longer_a_small_batch_took(
    records: int, took_s: float, rest_s: float
) -> None:
    assert rest_after(records, took_s, ServiceSettings(batch_interval_ms=8, rest_share=1)) == pytest.approx(
        rest_s
    )
