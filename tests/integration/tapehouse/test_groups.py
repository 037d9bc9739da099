"""Groups as a real broker tells them."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence

import pytest
import typer
from typer.testing import CliRunner

from schemas.topics import parse_topics
from service_runtime.event_log import TopicPartition
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import KafkaSettings
from tapehouse import groups, topics
from tapehouse.groups import Group, read_groups


class FromTheStart:
    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None: ...


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    name = f"groups-{secrets.token_hex(4)}"
    row = {"owner": "x", "by": "symbol", "partitions": 2, "messages": []}
    document = {"symbols": {"BTCUSDT": 0}, "defaults": {}, "topics": {name: row}}
    topics.apply(kafka_bootstrap, declared=parse_topics(document))
    return name


@pytest.fixture
def reader(kafka_bootstrap: str, topic: str) -> Iterator[KafkaEventLog]:
    """A member of the group `topic` that holds both partitions and has committed one record of three."""
    with KafkaEventLog(KafkaSettings(bootstrap_servers=kafka_bootstrap), f"member-{topic}") as log:
        for _ in range(3):
            log.append(topic, 0, b"x")
        log.flush()
        log.subscribe([topic], topic, FromTheStart())
        until(lambda: bool(log.poll(10, 0.2)))
        log.commit({TopicPartition(topic, 0): 1})

        def committed() -> bool:
            log.poll(1, 0.1)
            return any(r.committed == 1 for r in found(kafka_bootstrap, topic).readings)

        until(committed)
        yield log


def until(condition: object, deadline_s: float = 30.0) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline


def found(bootstrap: str, name: str) -> Group:
    (group,) = read_groups(bootstrap, only=[name])
    return group


def test_members_partitions_and_lag(kafka_bootstrap: str, topic: str, reader: KafkaEventLog) -> None:
    group = found(kafka_bootstrap, topic)
    assert group.state == "stable"
    assert [member.name for member in group.members] == [f"member-{topic}"]
    assert [(r.partition, r.member, r.lag) for r in group.readings] == [
        (0, f"member-{topic}", 2),
        (1, f"member-{topic}", None),
    ]


def test_command_shows_a_table_and_json(kafka_bootstrap: str, topic: str, reader: KafkaEventLog) -> None:
    app = typer.Typer()
    app.command()(groups.command)
    run = CliRunner().invoke
    shown = run(app, [topic, "-b", kafka_bootstrap, "--json"])
    assert shown.exit_code == 0
    assert [(group["group"], group["lag"]) for group in json.loads(shown.stdout)] == [(topic, 2)]
    assert topic in run(app, [topic, "-b", kafka_bootstrap], env={"COLUMNS": "200"}).stdout
    unknown = run(app, ["nobody", "-b", kafka_bootstrap])
    assert (unknown.exit_code, "no group nobody" in unknown.output) == (1, True)
