"""Tables of what the pipeline's benchmarks found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

WITHIN = 0.10
"""So far the cost of an order may move with the number of instances."""


def stage_lines(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """One block for each measurement: rates, and what every process used."""
    lines: list[str] = []
    for found in documents:
        lines.append(
            f"{found['name']}: {found['orders']} orders and {found['trades']} trades in"
            f" {found['seconds']:.2f} s: {found['orders_per_s']:,} orders/s,"
            f" {found['trades_per_s']:,} trades/s"
        )
        used = found["cpu_us_per_order"]
        shown = "  ".join(f"{name} {value:.1f}" for name, value in used.items() if value)
        lines.append(f"  processor us an order: {shown}  all {found['cpu_us_per_order_total']:.1f}")
        own = used.get(found["name"])
        if own:
            lines.append(f"  one processor of {found['name']} carries {1e6 / own:,.0f} orders/s")
    return lines


def scale_lines(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Cost of an order by service and number of instances, and how far it moved from the fewest."""
    counts = sorted({run["instances"] for run in runs})
    names = list(runs[0]["cpu_us_per_order"])
    head = "".join(f"{count:>10}" for count in counts)
    lines = [f"{'us an order, instances of each':<34}{head}"]
    for name in [*names, "all"]:
        costs = [cost(runs, count, name) for count in counts]
        moved = max(costs) / costs[0] - 1 if costs[0] else 0.0
        verdict = f"{moved:>+8.0%}{'' if moved <= WITHIN else '  more than 10 %'}"
        lines.append(f"{name:<34}" + "".join(f"{value:>10.1f}" for value in costs) + verdict)
    rates = [median(r["orders_per_s"] for r in runs if r["instances"] == count) for count in counts]
    lines.append(f"{'orders/s':<34}" + "".join(f"{rate:>10,.0f}" for rate in rates))
    for count in counts:
        shares = [r["instance_share"] for r in runs if r["instances"] == count][-1]
        told = "  ".join(f"{name} {'/'.join(f'{s:.0f}' for s in found)}" for name, found in shares.items())
        lines.append(f"share of each of {count}, percent: {told}")
    if bound := {r["instances"]: r["processor_share"] for r in runs if r.get("processor_share")}:
        told = ", ".join(f"{share:.0%} of a processor with {n}" for n, share in sorted(bound.items()))
        lines.append(f"each instance may use {told}")
    return lines


def cost(runs: Sequence[Mapping[str, Any]], instances: int, name: str) -> float:
    """Return the median cost of an order; `all` adds everything but the benchmark itself."""
    chosen = [run["cpu_us_per_order"] for run in runs if run["instances"] == instances]
    if name == "all":
        return float(median(sum(used.values()) - used.get("generator", 0.0) for used in chosen))
    return float(median(used.get(name, 0.0) for used in chosen))
