"""The benchmark against a whole exchange: what it counts, and what it proves. No figure is judged here."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import RunningExchange

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def test_every_order_is_counted_traced_and_audited(running_exchange: RunningExchange, tmp_path: Path) -> None:
    figures, journal = tmp_path / "figures.json", tmp_path / "journal.jsonl"
    options = ["--rate", "30", "--seconds", "4", "--warmup", "1", "--symbols", "ETHBTC,ETHUSDT"]
    files = ["--json", str(figures), "--journal", str(journal)]
    done = running_exchange.live.command("bench", "orders", *options, *files)
    assert done.returncode == 0, done.stderr + done.stdout
    run = json.loads(figures.read_text())["runs"][0]
    assert (run["sent"], run["accepted"], run["refused"]) == (120, 120, {})
    assert run["trades"] >= 60
    assert run["trades_not_streamed"] == 0
    assert set(run["answer_ms"]) == set(run["trade_ms"]) == {"p50", "p90", "p99", "p99.9", "max"}
    services = {f"{name}-0" for name in ("ingest", "processor", "matcher", "recorder", "market-data")}
    assert services | {"generator"} <= set(run["cpu_us_per_order"])  # servers that are given are not its own
    assert run["cpu_us_per_order"]["ingest-0"] > 0
    assert run["audit"]["clean"]
    for symbol in ("ETHBTC", "ETHUSDT"):
        book = httpx.get(f"{running_exchange.live.api_url}/api/v3/depth?symbol={symbol}").json()
        assert (book["bids"], book["asks"]) == ([], [])  # no order of the run is left to others
    assert len(journal.read_text().splitlines()) == 40 + 150
    assert "190 acknowledged in the journal" in done.stdout


def test_orders_go_through_the_websocket_api(running_exchange: RunningExchange, tmp_path: Path) -> None:
    options = ["--socket", "--rate", "30", "--seconds", "2", "--warmup", "1", "--symbols", "ETHBTC"]
    done = running_exchange.live.command("bench", "orders", *options, "--json", str(tmp_path / "figures"))
    assert done.returncode == 0, done.stderr + done.stdout
    run = json.loads((tmp_path / "figures").read_text())["runs"][0]
    assert (run["way"], run["sent"], run["accepted"], run["refused"]) == ("WebSocket API", 60, 60, {})
    assert run["trades"] >= 30
    assert run["audit"]["clean"]


def test_each_answer_sends_the_next_order(running_exchange: RunningExchange, tmp_path: Path) -> None:
    options = [
        "--concurrency",
        "3",
        "--seconds",
        "2",
        "--warmup",
        "1",
        "--symbols",
        "ETHBTC",
        "--repeat",
        "2",
    ]
    done = running_exchange.live.command("bench", "orders", *options, "--json", str(tmp_path / "figures"))
    assert done.returncode == 0, done.stderr + done.stdout
    figures = json.loads((tmp_path / "figures").read_text())
    first, second = figures["runs"]
    assert first["concurrency"] == second["concurrency"] == 3
    assert first["sent"] == first["accepted"] > 3
    assert second["audit"]["clean"]
    carried = figures["spread"]["all"]["carried_per_s"]
    assert carried["min"] == min(first["carried_per_s"], second["carried_per_s"]) > 0
    refused = running_exchange.live.command("bench", "orders", "--concurrency", "3", "--search")
    assert (refused.returncode, "a search goes by rate" in refused.stderr) == (2, True)


def test_rate_that_would_be_refused_is_not_tried(running_exchange: RunningExchange) -> None:
    done = running_exchange.live.command("bench", "orders", "--rate", "900000", "--seconds", "60")
    assert done.returncode == 1
    assert "TAPEHOUSE_LIMITS=" in done.stderr


def test_tape_needs_a_file_that_is_one(running_exchange: RunningExchange, tmp_path: Path) -> None:
    done = running_exchange.live.command("demo", "--tape", str(tmp_path / "none.csv"))
    assert (done.returncode, "cannot be read" in done.stderr) == (2, True)
    assert running_exchange.live.command("demo").returncode == 2
