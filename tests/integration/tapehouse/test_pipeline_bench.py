"""A short run of the pipeline's benchmark: its figures are counted and shown, none is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ORDERS = 400

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def test_every_order_is_settled_and_its_cost_is_told(
    tmp_path: Path, shown_at_the_end: Callable[[str], None]
) -> None:
    figures = tmp_path / "figures.json"
    words = ["bench", "pipeline", "--orders", str(ORDERS), "--json", str(figures)]
    done = subprocess.run(
        [sys.executable, "-m", "tapehouse", *words], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [run] = json.loads(figures.read_text())["runs"]
    assert run["orders"] == ORDERS
    assert run["trades"] >= ORDERS // 2
    assert {"processor", "matcher", "recorder", "market-data", "kafka"} <= run["cpu_us_per_order"].keys()
    assert run["bytes_per_order"]["log"]["order-requests"] > 0
    assert run["instance_share"] == {"matcher": [100.0], "processor": [100.0], "recorder": [100.0]}
    shown_at_the_end(done.stdout)
