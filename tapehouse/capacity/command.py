"""The command `tapehouse capacity`. Exit 0: planned; 1: cannot be; 2: an option that cannot be."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from tapehouse.capacity.costs import Costs, UnusableCosts, load, read_documents
from tapehouse.capacity.sizing import Demand, Impossible, Plan, plan
from tapehouse.console import fail
from tapehouse.errors import USAGE, OperatorError


def command(
    rate: Annotated[float, typer.Option(min=1, help="Orders a second.")],
    symbols: Annotated[int, typer.Option(min=1, help="How many.")] = 400,
    p99: Annotated[
        float, typer.Option(min=1, help="Milliseconds within which 99 of 100 are answered.")
    ] = 100,
    hottest: Annotated[float, typer.Option(help="Share of the busiest symbol, up to 1.")] = 0.1,
    replication: Annotated[int, typer.Option(min=1, help="Copies of the log.")] = 3,
    days: Annotated[float, typer.Option(min=0.1, help="So long the brokers keep it.")] = 30,
    orders: Annotated[
        Path | None, typer.Option("--orders", help="What `bench orders --json` wrote; with --pipeline.")
    ] = None,
    pipeline: Annotated[Path | None, typer.Option(help="What `bench pipeline --json` wrote.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say what a rate needs in instances, partitions, servers, network and disks, arithmetic shown."""
    try:
        costs = _costs(orders, pipeline)
        found = plan(Demand(rate, symbols, p99, replication, days, hottest), costs)
    except (Impossible, UnusableCosts, OSError, OperatorError) as error:
        raise fail("capacity", error) from None
    if as_json:
        print(json.dumps(document(found, costs), indent=2))
    else:
        print("\n".join(lines(found, costs)))


def _costs(orders: Path | None, pipeline: Path | None) -> Costs:
    if orders is None and pipeline is None:
        return load()
    if orders is None or pipeline is None:
        raise OperatorError("--orders and --pipeline go together", exit_code=USAGE)
    return read_documents(orders, pipeline)


def document(found: Plan, costs: Costs) -> dict[str, Any]:
    return {
        "demand": asdict(found.demand),
        "costs": {"measured_on": costs.measured_on, "machine": costs.machine},
        "instances": found.instances,
        "partitions": found.partitions,
        "lines": [asdict(line) for line in found.lines],
        "limits": found.limits,
    }


def lines(found: Plan, costs: Costs) -> list[str]:
    demand = found.demand
    text = [
        f"{demand.rate:,.0f} orders/s, {demand.symbols} symbols, p99 {demand.p99_ms:g} ms",
        f"costs measured on {costs.measured_on}: {costs.machine}; {costs.how}",
        "",
    ]
    text += [
        f"{line.what:<32}{_number(line.value):>12} {line.unit:<15} {line.arithmetic}" for line in found.lines
    ]
    text += ["", *(f"limit: {limit}" for limit in found.limits)]
    return text if found.limits else [*text, "No limit of the exchange is met."]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"
