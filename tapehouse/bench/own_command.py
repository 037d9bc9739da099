"""The commands `tapehouse bench pipeline`, `scale` and `compare`, which need no running exchange."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from service_runtime.errors import Fault
from tapehouse.bench import compare
from tapehouse.bench.checkouts import alternate
from tapehouse.bench.cpu_share import CpuShares, NoShares
from tapehouse.bench.made_by import made_by
from tapehouse.bench.own_exchange import own_exchange
from tapehouse.bench.pipeline import Pipeline
from tapehouse.bench.rebalance import PAUSE_SERVICES, rebalance_pauses
from tapehouse.bench.stage_report import scale_lines, stage_lines
from tapehouse.console import fail, log_to_stderr, stderr
from tapehouse.errors import USAGE, OperatorError

JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the figures for machines.")]


def pipeline_command(
    orders: Annotated[int, typer.Option(min=100, help="Orders of one run.")] = 40_000,
    repeat: Annotated[int, typer.Option(min=1, help="Measure so often.")] = 1,
    alone: Annotated[
        bool, typer.Option("--alone", help="Then each service alone, its input waiting.")
    ] = False,
    candles: Annotated[bool, typer.Option("--candles", help="With the candles' worker.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Measure from `order-requests` to settled in Postgres, on a throw-away exchange of its own."""
    log_to_stderr()
    document: dict[str, Any] = {"made_by": made_by(), "runs": []}
    more = ("market-data", "candles") if candles else ("market-data",)
    try:
        with own_exchange() as exchange:
            pipeline = Pipeline(exchange, orders)
            stderr().print("opening accounts, filling books, warming up")
            pipeline.prepare()
            for _ in range(repeat):
                figures = pipeline.run(orders, 1, more)
                document["runs"].append(figures.document())
                print("\n".join(stage_lines([figures.document()])), flush=True)
            if alone:
                document["alone"] = [figures.document() for figures in pipeline.alone(orders)]
                print("\n".join(stage_lines(document["alone"])), flush=True)
    except (OperatorError, Fault, OSError, psycopg.Error) as error:
        raise fail("bench", error) from None
    _write(json_file, document)


def scale_command(
    orders: Annotated[int, typer.Option(min=100, help="Orders of one run.")] = 40_000,
    instances: Annotated[str, typer.Option(help="Separated by commas, 4 at most.")] = "1,2,4",
    repeat: Annotated[int, typer.Option(min=1, help="Measure so often; medians are shown.")] = 1,
    share: Annotated[
        float, typer.Option(min=0, help="Of a processor, for each service, divided among its instances.")
    ] = 1.0,
    pauses: Annotated[bool, typer.Option(help="Measure what joining and leaving stop.")] = True,
    json_file: JsonOption = None,
) -> None:
    """Measure the cost of an order with 1, 2 and 4 instances of each service, and rebalancing pauses.

    Instances of a service share one processor evenly (--share), by control groups, where they may be made:
    so four do not have four times the machine. --share 0 binds none.
    """
    log_to_stderr()
    counts = _counts(instances)
    document: dict[str, Any] = {"made_by": made_by(), "runs": []}
    try:
        with _shares(share) as shares, own_exchange() as exchange:
            pipeline = Pipeline(exchange, orders)
            stderr().print("opening accounts, filling books, warming up")
            pipeline.prepare()
            for turn in range(repeat):
                for count in counts if turn % 2 == 0 else reversed(counts):
                    stderr().print(f"{count} of each service")
                    document["runs"].append(pipeline.run(orders, count, shares=shares).document())
            print("\n".join(scale_lines(document["runs"])), flush=True)
            if pauses:
                document["rebalances"] = []
                for service in PAUSE_SERVICES:
                    found = rebalance_pauses(exchange, pipeline, service)
                    document["rebalances"].append(found.document())
                    print("\n".join(found.lines()), flush=True)
    except (OperatorError, Fault, OSError, psycopg.Error) as error:
        raise fail("bench", error) from None
    _write(json_file, document)


def compare_command(
    before: Annotated[Path, typer.Argument(help="What a benchmark wrote by --json, or a checkout.")],
    after: Annotated[Path, typer.Argument(help="The same of what is compared with it.")],
    arguments: Annotated[
        str, typer.Option("--bench", help="In checkouts: the benchmark to run, in turns.")
    ] = "pipeline --orders 20000",
    repeat: Annotated[int, typer.Option(min=1, help="In checkouts: so often in each.")] = 3,
) -> None:
    """Print how much each figure of the second is of the first. Never fails for a figure."""
    log_to_stderr()
    try:
        if before.is_dir() and after.is_dir():
            checkouts = [before.resolve(), after.resolve()]
            found: Sequence[dict[str, Any]] = alternate(checkouts, arguments.split(), repeat)
        else:
            found = [_read(before), _read(after)]
    except (OperatorError, OSError) as error:
        raise fail("bench", error) from None
    print("\n".join(compare.lines(compare.ratios(*found))))


def _read(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise OperatorError(f"{path} holds no figures: {error}", exit_code=USAGE) from None
    return document


def _counts(text: str) -> list[int]:
    counts = [int(part) if part.strip().isdigit() else 0 for part in text.split(",")]
    if not all(1 <= count <= 4 for count in counts):
        raise fail("bench", OperatorError(f"--instances {text}: numbers from 1 to 4", exit_code=USAGE))
    return counts


@contextmanager
def _shares(share: float) -> Iterator[CpuShares | None]:
    """Yield what bounds a service; None where nothing can, after saying why. It is undone at the end."""
    shares = None
    try:
        shares = CpuShares(share) if share else None
    except NoShares as why:
        stderr().print(f"instances are not bound to a share of a processor: {why}")
    try:
        yield shares
    finally:
        if shares is not None:
            shares.release()


def _write(path: Path | None, document: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(document, indent=2) + "\n")
