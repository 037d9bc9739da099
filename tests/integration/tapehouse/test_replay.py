"""replay against a real broker."""

from __future__ import annotations

import csv
import json
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer
import yaml
from click.testing import Result
from typer.testing import CliRunner

from schemas.codec import encode
from schemas.topics import DEFAULT_PATH, load_topics
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import KafkaSettings
from tapehouse import topics
from tapehouse.replay.command import command
from tests.unit.tapehouse.replay.messages import trade

Run = Callable[..., Result]


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A trade topic of its own name, declared in a topics.yaml of its own."""
    document = yaml.safe_load(DEFAULT_PATH.read_text())
    name = f"trade-execution-{secrets.token_hex(4)}"
    document["topics"] = {name: document["topics"]["trade-execution"]}
    file = tmp_path / "topics.yaml"
    file.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("TAPEHOUSE_TOPICS_FILE", str(file))
    return name


@pytest.fixture
def tape(kafka_bootstrap: str, topic: str, tmp_path: Path) -> str:
    """Three trades of BTCUSDT, a piece of garbage, two of ETHUSDT."""
    topics.apply(kafka_bootstrap, declared=load_topics(tmp_path / "topics.yaml"))
    with KafkaEventLog(KafkaSettings(bootstrap_servers=kafka_bootstrap), "tape") as log:
        for trade_id in (1, 2, 3):
            log.append(topic, 0, encode(trade(trade_id)))
        log.append(topic, 0, b"\x00garbage")
        for trade_id in (1, 2):
            log.append(topic, 1, encode(trade(trade_id, symbol="ETHUSDT")))
        log.flush()
    return topic


@pytest.fixture
def run(kafka_bootstrap: str) -> Run:
    app = typer.Typer()
    app.command()(command)
    return lambda *arguments: CliRunner().invoke(app, [*arguments, "-b", kafka_bootstrap])


def rows(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_whole_topic_in_order_with_garbage_counted(run: Run, tape: str) -> None:
    result = run(tape)
    found = [(row["symbol"], row["trade_id"]) for row in rows(result)]
    assert [i for symbol, i in found if symbol == "BTCUSDT"] == [1, 2, 3]
    assert [i for symbol, i in found if symbol == "ETHUSDT"] == [1, 2]
    assert "5 rows from 6 records, 0 duplicates dropped, 1 unreadable" in result.stderr
    assert f"{tape}[0] offset 3:" in result.stderr


def test_symbol_and_offsets_bound_what_is_read(run: Run, tape: str) -> None:
    assert [row["trade_id"] for row in rows(run(tape, "--symbol", "ETHUSDT"))] == [1, 2]
    bounded = rows(run(tape, "--from", "0:1", "--to", "0:3", "--to", "1:1"))
    assert sorted((row["symbol"], row["trade_id"]) for row in bounded) == [
        ("BTCUSDT", 2),
        ("BTCUSDT", 3),
        ("ETHUSDT", 1),
    ]


def test_time_bounds_are_the_brokers(run: Run, tape: str) -> None:
    first = min(row["timestamp_ms"] for row in rows(run(tape)))
    assert len(rows(run(tape, "--from", str(first)))) == 5
    assert rows(run(tape, "--to", str(first))) == []
    assert len(rows(run(tape, "--from", "2021-01-08T00:00:00Z", "--to", "2100-01-01"))) == 5
    assert rows(run(tape, "--from", "2100-01-01")) == []


def test_formats_hold_the_same_trades(run: Run, tape: str, tmp_path: Path) -> None:
    expected = [(str(row["trade_id"]), row["price"]) for row in rows(run(tape, "--decimals"))]
    for name in ("tape.csv", "tape.parquet"):
        result = run(tape, "--decimals", "--out", str(tmp_path / name))
        assert (result.exit_code, result.stdout) == (0, "")
    with (tmp_path / "tape.csv").open(newline="") as stream:
        assert [(row["trade_id"], row["price"]) for row in csv.DictReader(stream)] == expected
    query = f"SELECT trade_id::VARCHAR, price::VARCHAR FROM '{tmp_path / 'tape.parquet'}'"
    assert duckdb.sql(query).fetchall() == expected
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tape.csv", "tape.parquet", "topics.yaml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-topic"], "the topics are"),
        (["TOPIC", "--symbol", "DOGE"], "the symbols are"),
        (["TOPIC", "--from", "yesterday"], "ISO 8601"),
        (["TOPIC", "--from", "9:1"], "no such partition"),
        (["TOPIC", "--format", "parquet"], "--out FILE"),
    ],
)
def test_mistakes_are_one_plain_line(run: Run, tape: str, arguments: list[str], said: str) -> None:
    result = run(*[tape if argument == "TOPIC" else argument for argument in arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_pipe_that_closes_early_leaves_no_traceback(kafka_bootstrap: str, tape: str) -> None:
    with KafkaEventLog(KafkaSettings(bootstrap_servers=kafka_bootstrap), "more") as log:
        for trade_id in range(4, 3_000):
            log.append(tape, 0, encode(trade(trade_id)))
        log.flush()
    code = "import typer; from tapehouse.replay.command import command; typer.run(command)"
    replay = subprocess.Popen(
        [sys.executable, "-c", code, tape, "-b", kafka_bootstrap],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert replay.stdout is not None
    assert replay.stderr is not None
    assert json.loads(replay.stdout.readline())["offset"] == 0
    replay.stdout.close()
    said = replay.stderr.read().decode()
    replay.stderr.close()
    assert (replay.wait(60), said) == (0, "")
