"""The checks that are made only when asked for: clean after a random stream, and each fault found."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import msgspec
import pytest

from service_runtime.event_log import TopicPartition
from service_runtime.memory_log import MemoryEventLog
from tapehouse.audit.audit import Options, Report, audit
from tapehouse.audit.command import chosen, lines
from tapehouse.errors import OperatorError
from tests.integration import ledger_world
from tests.integration.audit import streams
from tests.integration.ledger_world import World

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def traded(fresh_database: Callable[[], str], redis_url: str) -> Iterator[World]:
    """One exchange that has traded. Who changes its topics puts back what was there."""
    with ledger_world.world(fresh_database, redis_url) as world:
        streams.fund(world)
        services = [world.processor().start(), world.matcher().start(), world.recorder().start()]
        streams.drive(world, services, random.Random(11), 0, 20)
        yield world


def _audit(world: World, only: str) -> Report:
    options = Options(0.5, only=chosen(only))
    return audit(world.settings(), MemoryEventLog(world.broker), options)


def _changed(world: World, only: str, topic: str, place: int, **fields: object) -> str:
    """Return what the audit says when one record of partition 0 says something else."""
    records = world.broker.records[TopicPartition(topic, 0)]
    kept = records[place]
    value = msgspec.json.encode(msgspec.json.decode(kept.value) | fields)
    records[place] = msgspec.structs.replace(kept, value=value)
    try:
        report = _audit(world, only)
    finally:
        records[place] = kept
    assert report.difference is not None
    assert report.difference.invariant == only
    assert any("DIFFERS" in line for line in lines(report))
    return str(report.difference)


def test_an_unknown_invariant_is_wrong_use() -> None:
    with pytest.raises(OperatorError, match="I99"):
        chosen("I1,i99")
    assert chosen(" i7,I1 ") == {"I7", "I1"}


def test_replay_gives_the_same_bytes(traded: World) -> None:
    report = _audit(traded, "I7")
    assert report.difference is None
    assert list(report.verdicts) == ["I7"]
    assert "byte for byte, on 1 and 4 processes" in report.verdicts["I7"]
    text = _changed(traded, "I7", "matched-events", 3, occurred_at_ns=7)
    assert text.startswith("matched-events[0] offset 3: BTCUSDT sequence 4 has the hash")


def test_every_record_has_a_cause(traded: World) -> None:
    report = _audit(traded, "I8")
    assert report.difference is None
    assert "follow from one that is there" in report.verdicts["I8"]
    for topic in ("validated-orders", "matched-events", "trade-execution"):
        text = _changed(traded, "I8", topic, 2, causation_id="nothing")
        assert text.startswith(f"{topic}[0] offset 2: ")
        assert "follows from 'nothing'" in text


def test_records_that_come_again_change_nothing(traded: World) -> None:
    report = _audit(traded, "I10")
    assert report.difference is None
    assert "no table and no book changed" in report.verdicts["I10"]
