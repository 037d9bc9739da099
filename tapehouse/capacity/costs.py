"""What one order costs, as benchmarks measured it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from tapehouse.bench.cpu import by_service

DEFAULT_FILE = Path(__file__).with_name("measured.json")
PIPELINE_SERVICES = ("processor", "matcher", "recorder", "market-data", "postgres")
"""Measured under full load, where batches are large: what a large exchange pays."""
EDGE_SERVICES = ("ingest", "user-data", "kafka", "valkey")
"""Measured through the API at a steady rate: the replies are in them, and the small batches."""


class UnusableCosts(ValueError):
    """A file of figures that lacks one, or has an impossible one."""


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    measured_on: str
    machine: str
    how: str
    cpu_us_per_order: dict[str, float]
    """Of each service and server, by name."""
    log_bytes_per_order: dict[str, float]
    """Of each topic, as stored by one replica, compressed."""
    postgres_bytes_per_order: float
    wal_bytes_per_order: float
    answer_p99_ms: float
    """Of a FULL answer while the machine was far from busy."""
    candle_us_per_bar: float
    """Of a bar in the candle worker, with its part of what is published. Trades do not count."""

    def __post_init__(self) -> None:
        missing = {*PIPELINE_SERVICES, *EDGE_SERVICES} - self.cpu_us_per_order.keys()
        if missing:
            raise UnusableCosts(f"no processor time is known of {', '.join(sorted(missing))}")
        figures = (*self.cpu_us_per_order.values(), *self.log_bytes_per_order.values())
        if min(*figures, self.postgres_bytes_per_order, self.wal_bytes_per_order) < 0:
            raise UnusableCosts("a cost is below zero")
        if self.answer_p99_ms <= 0 or not self.log_bytes_per_order:
            raise UnusableCosts("the answer's p99 or the size of the log is missing")


def load(path: Path = DEFAULT_FILE) -> Costs:
    """Raises UnusableCosts, OSError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Costs)
    except msgspec.MsgspecError as error:
        raise UnusableCosts(f"{path}: {error}") from error


def read_documents(orders: Path, pipeline: Path) -> Costs:
    """Return the costs in what `bench orders --json` and `bench pipeline --json` wrote."""
    try:
        return from_documents(json.loads(orders.read_text()), json.loads(pipeline.read_text()))
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableCosts(f"{orders} and {pipeline} are not of those benchmarks: {error!r}") from error


def from_documents(orders: Mapping[str, Any], pipeline: Mapping[str, Any]) -> Costs:
    """Medians over the runs of both. Neither knows the candle worker: its cost is the shipped one."""
    edge = [by_service(run["cpu_us_per_order"]) for run in orders["runs"]]
    core = [run["cpu_us_per_order"] for run in pipeline["runs"]]
    cpu = {name: median(run[name] for run in edge) for name in EDGE_SERVICES}
    cpu |= {name: median(run[name] for run in core) for name in PIPELINE_SERVICES}
    stored = [run["bytes_per_order"] for run in pipeline["runs"]]
    logs = {name: median(run["log"][name] for run in stored) for name in stored[0]["log"]}
    return Costs(
        measured_on=pipeline["made_by"]["on"],
        machine=pipeline["made_by"]["machine"],
        how=f"{len(edge)} x bench orders at {orders['runs'][0]['rate']:g}/s, {len(core)} x bench pipeline",
        cpu_us_per_order={name: round(value, 1) for name, value in sorted(cpu.items())},
        log_bytes_per_order={name: round(value, 1) for name, value in sorted(logs.items())},
        postgres_bytes_per_order=round(median(run["postgres"] for run in stored), 1),
        wal_bytes_per_order=round(median(run["wal"] for run in stored), 1),
        answer_p99_ms=median(run["answer_ms"]["p99"] for run in orders["runs"]),
        candle_us_per_bar=load().candle_us_per_bar,
    )
