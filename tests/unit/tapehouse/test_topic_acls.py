"""Rules follow from the owners in topics.yaml."""

from __future__ import annotations

from schemas.topics import load_topics
from tapehouse.topic_acls import OPERATOR, SERVICES, Operation, Resource, owners, rules

TOPICS = load_topics()


def writers(topic: str) -> set[str]:
    return {
        rule.principal
        for rule in rules(TOPICS)
        if (rule.resource, rule.name, rule.operation) == (Resource.TOPIC, topic, Operation.WRITE)
    }


def test_only_its_owner_writes_a_topic() -> None:
    assert writers("validated-orders") == {"processor"}
    assert writers("matched-events") == {"matcher"}
    assert writers("order-requests") == {"ingest", "matcher"}
    assert writers("dead-letters") == set(SERVICES)


def test_every_owner_is_a_principal() -> None:
    for topic in TOPICS.topics.values():
        assert set(owners(topic.owner)) <= {*SERVICES, OPERATOR}


def test_every_service_reads_and_none_uses_anothers_group() -> None:
    read = {(r.principal, r.name) for r in rules(TOPICS) if r.operation is Operation.READ}
    assert all((service, "matched-events") in read for service in SERVICES)
    groups = {r.name: r.principal for r in rules(TOPICS) if r.resource is Resource.GROUP}
    assert groups["processor"] == "processor"
    assert groups["user-data"] == "ingest"
