"""Costs from files: the shipped ones, and what benchmarks wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tapehouse.capacity.costs import UnusableCosts, load, read_documents


def orders_run(ingest: float, p99: float) -> dict[str, Any]:
    cpu = {
        "ingest-0": ingest,
        "ingest-1": 10.0,
        "user-data-0": 1.0,
        "kafka": 3.0,
        "valkey": 4.0,
    }
    return {"rate": 500, "cpu_us_per_order": cpu, "answer_ms": {"p99": p99}}


def pipeline_run(processor: float) -> dict[str, Any]:
    cpu = {"processor": processor, "matcher": 6.0, "recorder": 7.0, "market-data": 8.0, "postgres": 9.0}
    return {
        "cpu_us_per_order": cpu,
        "bytes_per_order": {"log": {"order-requests": 100.0}, "postgres": 1.0, "wal": 2.0},
    }


def write(folder: Path, orders: Any, pipeline: Any) -> tuple[Path, Path]:
    paths = folder / "orders.json", folder / "pipeline.json"
    for path, document in zip(paths, (orders, pipeline), strict=True):
        path.write_text(json.dumps(document))
    return paths


def test_medians_of_both_benchmarks_with_instances_added_up(tmp_path: Path) -> None:
    orders = {"runs": [orders_run(20.0, 30.0), orders_run(40.0, 20.0), orders_run(30.0, 90.0)]}
    made_by = {"on": "2026-01-01", "machine": "m"}
    pipeline = {"made_by": made_by, "runs": [pipeline_run(5.0), pipeline_run(7.0), pipeline_run(50.0)]}
    costs = read_documents(*write(tmp_path, orders, pipeline))
    assert costs.cpu_us_per_order["ingest"] == 40.0
    assert costs.cpu_us_per_order["processor"] == 7.0
    assert (costs.answer_p99_ms, costs.log_bytes_per_order) == (30.0, {"order-requests": 100.0})
    assert costs.candle_us_per_bar == load().candle_us_per_bar
    assert costs.how == "3 x bench orders at 500/s, 3 x bench pipeline"


@pytest.mark.parametrize("wrong", [{}, {"runs": []}, {"runs": [{}]}, {"runs": [{"cpu_us_per_order": {}}]}])
def test_other_documents_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    made_by = {"on": "2026-01-01", "machine": "m"}
    with pytest.raises(UnusableCosts):
        read_documents(*write(tmp_path, wrong, {"made_by": made_by, "runs": [pipeline_run(1.0)]}))


@pytest.mark.parametrize("change", [{"cpu_us_per_order": {"ingest": 1.0}}, {"answer_p99_ms": 0}, {"more": 1}])
def test_file_that_lacks_or_spoils_a_cost_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps({**msgspec.to_builtins(load()), **change}))
    with pytest.raises(UnusableCosts):
        load(path)
