"""The comparison of a broker with topics.yaml."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.topics import TopicMap, parse_topics
from tapehouse.topic_plan import Change, Kind, TopicState, compare, declared_config

DOCUMENT = {
    "symbols": {"BTCUSDT": 0},
    "defaults": {"retention.ms": -1, "cleanup.policy": "delete"},
    "topics": {
        "matched-events": {"owner": "matcher", "by": "symbol", "partitions": 4, "messages": []},
        "order-replies": {"owner": "matcher", "by": "worker", "partitions": 16, "messages": []},
    },
}


@pytest.fixture
def declared() -> TopicMap:
    return parse_topics(DOCUMENT)


@pytest.fixture
def found(declared: TopicMap) -> dict[str, TopicState]:
    """A broker that is exactly as declared."""
    return {
        topic.name: TopicState(topic.partitions, 1, declared_config(topic, 1), frozenset(topic.config))
        for topic in declared.topics.values()
    }


def kinds(changes: tuple[Change, ...]) -> list[tuple[str, Kind, str]]:
    return [(change.topic, change.kind, change.setting) for change in changes]


def test_same_broker_has_no_changes(declared: TopicMap, found: dict[str, TopicState]) -> None:
    assert compare(declared, found, 1).items == ()


def test_empty_broker_gets_every_topic_in_order(declared: TopicMap) -> None:
    changes = compare(declared, {}, 1)
    assert [c.topic for c in changes.of(Kind.CREATE)] == ["matched-events", "order-replies"]
    assert changes.drift == changes.items


def test_changed_setting_is_set_to_the_declared_value(
    declared: TopicMap, found: dict[str, TopicState]
) -> None:
    state = found["matched-events"]
    found["matched-events"] = replace(state, config={**state.config, "retention.ms": "1000"})
    assert compare(declared, found, 1).items == (
        Change("matched-events", Kind.SET, "retention.ms", "-1", "1000"),
    )


def test_setting_nobody_declared_is_reset(declared: TopicMap, found: dict[str, TopicState]) -> None:
    state = found["matched-events"]
    config = {**state.config, "flush.ms": "7", "leader.replication.throttled.replicas": "*"}
    overrides = state.overrides | {"flush.ms", "leader.replication.throttled.replicas"}
    found["matched-events"] = replace(state, config=config, overrides=overrides)
    assert kinds(compare(declared, found, 1).items) == [("matched-events", Kind.RESET, "flush.ms")]


def test_keyed_topic_grows_only_when_named(declared: TopicMap, found: dict[str, TopicState]) -> None:
    found["matched-events"] = replace(found["matched-events"], partitions=2)
    unasked = compare(declared, found, 1)
    assert kinds(unasked.items) == [("matched-events", Kind.REFUSED, "partitions")]
    assert "--grow matched-events" in unasked.items[0].note
    asked = compare(declared, found, 1, grow=["matched-events"])
    assert kinds(asked.items) == [("matched-events", Kind.GROW, "partitions")]


def test_topic_without_keys_grows_unasked(declared: TopicMap, found: dict[str, TopicState]) -> None:
    found["order-replies"] = replace(found["order-replies"], partitions=8)
    assert kinds(compare(declared, found, 1).items) == [("order-replies", Kind.GROW, "partitions")]


def test_topic_is_never_shrunk_even_when_named(declared: TopicMap, found: dict[str, TopicState]) -> None:
    found["matched-events"] = replace(found["matched-events"], partitions=9)
    changes = compare(declared, found, 1, grow=["matched-events"])
    assert kinds(changes.refused) == [("matched-events", Kind.REFUSED, "partitions")]


def test_other_replication_is_drift_that_is_refused(declared: TopicMap, found: dict[str, TopicState]) -> None:
    changes = compare(declared, found, 3)
    replication = [c for c in changes.items if c.setting == "replication"]
    assert {c.kind for c in replication} == {Kind.REFUSED}
    assert [c.declared for c in changes.items if c.setting == "min.insync.replicas"] == ["2", "2"]


def test_undeclared_topic_is_shown_and_is_no_drift(declared: TopicMap, found: dict[str, TopicState]) -> None:
    found["somebody-elses"] = TopicState(1, 1, {})
    changes = compare(declared, found, 1)
    assert kinds(changes.items) == [("somebody-elses", Kind.UNDECLARED, "partitions x replication")]
    assert changes.drift == ()
