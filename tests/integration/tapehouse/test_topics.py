"""topics plan and apply against a real broker."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from schemas.topics import parse_topics
from tapehouse import topics
from tapehouse.topic_plan import Changes, Kind


def document(suffix: str, partitions: int = 2, **config: str) -> dict[str, Any]:
    """A topics.yaml of two topics whose names no other test has."""
    keyed = {"owner": "x", "by": "symbol", "partitions": partitions, "config": config, "messages": []}
    free = {"owner": "x", "by": "worker", "partitions": partitions, "messages": []}
    return {
        "symbols": {"BTCUSDT": 0},
        "defaults": {"retention.ms": -1},
        "topics": {f"keyed-{suffix}": keyed, f"free-{suffix}": free},
    }


@pytest.fixture
def suffix() -> str:
    return secrets.token_hex(4)


def drift(changes: Changes) -> list[tuple[str, Kind]]:
    return [(change.setting, change.kind) for change in changes.drift]


def test_apply_creates_and_a_second_apply_finds_nothing(kafka_bootstrap: str, suffix: str) -> None:
    declared = parse_topics(document(suffix))
    created = topics.apply(kafka_bootstrap, declared=declared)
    assert [change.kind for change in created.drift] == [Kind.CREATE, Kind.CREATE]
    assert topics.apply(kafka_bootstrap, declared=declared).drift == ()


def test_created_topics_take_records_at_once(kafka_bootstrap: str, suffix: str) -> None:
    topics.apply(kafka_bootstrap, declared=parse_topics(document(suffix, partitions=8)))
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": kafka_bootstrap})
    for partition in range(8):
        producer.produce(
            f"keyed-{suffix}", b"x", partition=partition, on_delivery=lambda e, _: errors.append(e)
        )
    assert producer.flush(20) == 0
    assert errors == [None] * 8


def test_settings_are_changed_to_what_is_declared(kafka_bootstrap: str, suffix: str) -> None:
    topics.apply(kafka_bootstrap, declared=parse_topics(document(suffix, **{"segment.ms": "600000"})))
    changed = parse_topics(document(suffix, **{"retention.ms": "86400000"}))
    expected = [("retention.ms", Kind.SET), ("segment.ms", Kind.RESET)]
    assert drift(topics.plan(kafka_bootstrap, declared=changed)) == expected
    assert drift(topics.apply(kafka_bootstrap, declared=changed)) == expected
    assert drift(topics.plan(kafka_bootstrap, declared=changed)) == []


def test_keyed_topic_grows_only_when_named(kafka_bootstrap: str, suffix: str) -> None:
    topics.apply(kafka_bootstrap, declared=parse_topics(document(suffix)))
    more = parse_topics(document(suffix, partitions=4))
    applied = topics.apply(kafka_bootstrap, declared=more)
    assert drift(applied) == [("partitions", Kind.REFUSED), ("partitions", Kind.GROW)]
    assert partitions(kafka_bootstrap, f"keyed-{suffix}") == 2
    assert partitions(kafka_bootstrap, f"free-{suffix}") == 4
    topics.apply(kafka_bootstrap, declared=more, grow=[f"keyed-{suffix}"])
    assert partitions(kafka_bootstrap, f"keyed-{suffix}") == 4


def test_undeclared_topic_is_left_alone(kafka_bootstrap: str, suffix: str) -> None:
    topics.apply(kafka_bootstrap, declared=parse_topics(document(suffix)))
    other = parse_topics(document(f"{suffix}-other"))
    changes = topics.apply(kafka_bootstrap, declared=other)
    assert f"keyed-{suffix}" in {change.topic for change in changes.of(Kind.UNDECLARED)}
    assert partitions(kafka_bootstrap, f"keyed-{suffix}") == 2


def test_exit_codes_tell_same_drift_and_error(kafka_bootstrap: str, suffix: str, tmp_path: Path) -> None:
    def run(command: str, declared: Any, *arguments: str) -> tuple[int, str]:
        file = tmp_path / f"{secrets.token_hex(4)}.yaml"
        file.write_text(yaml.safe_dump(declared))
        options = ["-b", kafka_bootstrap, "--file", str(file), *arguments]
        result = CliRunner().invoke(topics.app, [command, *options], env={"COLUMNS": "200"})
        return result.exit_code, result.output

    first, more = document(suffix), document(suffix, partitions=3)
    code, output = run("plan", first, "--json")
    assert (code, {row["kind"] for row in json.loads(output)} >= {"create"}) == (2, True)
    assert run("apply", first)[0] == 0
    assert run("plan", first)[0] == 0
    code, output = run("apply", more)
    assert (code, f"--grow keyed-{suffix}" in output) == (2, True)
    code, output = run("apply", more, "--grow", "no-such-topic")
    assert (code, "no-such-topic" in output) == (1, True)
    code, output = run("plan", {"topics": 7})
    assert (code, "is no list of topics" in output) == (1, True)


def test_replication_is_a_setting(kafka_bootstrap: str, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    topics.apply(kafka_bootstrap, declared=parse_topics(document(suffix)))
    monkeypatch.setenv("TAPEHOUSE_REPLICATION", "3")
    found = drift(topics.plan(kafka_bootstrap, declared=parse_topics(document(suffix))))
    assert found.count(("replication", Kind.REFUSED)) == 2
    with pytest.raises(topics.TopicsFailed, match="cannot create"):
        topics.apply(kafka_bootstrap, declared=parse_topics(document(f"{suffix}-three")))


def test_broker_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "REQUEST_TIMEOUT_S", 1.0)
    result = CliRunner().invoke(topics.app, ["plan", "-b", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert result.output.startswith("tapehouse topics: cannot list the topics")
    assert len(result.output.strip().splitlines()) == 1


def partitions(bootstrap: str, topic: str) -> int:
    metadata = AdminClient({"bootstrap.servers": bootstrap}).list_topics(topic, timeout=60)
    return len(metadata.topics[topic].partitions)
