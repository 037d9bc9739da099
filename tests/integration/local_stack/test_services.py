"""The embedded servers serve, and keep what they acknowledged."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tapehouse.local_stack import data_folder
from tapehouse.supervisor.identity import RunAs
from tests.services import embedded


def test_kafka_takes_and_gives_a_record(kafka_bootstrap: str) -> None:
    topic = f"echo-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    producer = Producer({"bootstrap.servers": kafka_bootstrap, "enable.idempotence": True})
    producer.produce(topic, b"tape")
    assert producer.flush(20) == 0
    consumer = Consumer(
        {
            "bootstrap.servers": kafka_bootstrap,
            "group.id": topic,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe([topic])
        record = consumer.poll(20)
        assert record is not None
        assert record.error() is None
        assert record.value() == b"tape"
    finally:
        consumer.close()


def test_postgres_is_durable_and_speaks_utf8(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        for name, expected in [("fsync", "on"), ("synchronous_commit", "on"), ("server_encoding", "UTF8")]:
            row = connection.execute(f"SHOW {name}").fetchone()
            assert row == (expected,)


@pytest.mark.skipif(
    sys.platform != "linux" or os.environ.get("TAPEHOUSE_TEST_SERVICES") == "containers",
    reason="looks at the server's own process by /proc",
)
def test_a_session_of_postgres_keeps_its_memory(postgres_dsn: str) -> None:
    statement = b"SELECT count(*) FROM unnest(array_fill(1::bigint, ARRAY[40000])) AS numbers (n)"
    with psycopg.connect(postgres_dsn) as connection:

        def faults_of(times: int) -> int:
            before = _page_faults(connection.info.backend_pid)
            for _ in range(times):
                connection.execute(statement)
            return _page_faults(connection.info.backend_pid) - before

        faults_of(10)
        assert faults_of(20) < 20 * 50  # some 480 each, were it given back


def _page_faults(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must change the user")
def test_postgres_runs_as_a_system_user_where_there_is_no_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder that this user may not enter, which is where a checkout of root's lies."""
    run_as = RunAs("nobody")
    monkeypatch.setattr(data_folder, "postgres_user", lambda: run_as)
    monkeypatch.setattr(data_folder, "unreachable", lambda path, run_as: path)
    with embedded() as services, psycopg.connect(services.postgres()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        (server,) = [process for program, process in services.started.values()]
        assert psutil.Process(server.pid).username() == run_as.user


def test_each_fresh_database_is_empty_and_its_own(fresh_database: Callable[[], str]) -> None:
    first, second = fresh_database(), fresh_database()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE mine ()")
    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)


def test_valkey_answers_only_with_its_password(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    key = uuid.uuid4().hex
    assert client.set(key, "1")
    assert client.get(key) == b"1"
    client.close()
    address = redis_url.rpartition("@")[2]
    stranger = redis.Redis.from_url(f"redis://{address}")
    try:
        stranger.get(key)
    except redis.AuthenticationError:
        return
    finally:
        stranger.close()
    raise AssertionError("answered without a password")
