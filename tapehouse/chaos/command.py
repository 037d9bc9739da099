"""`tapehouse chaos`: break a throw-away exchange on purpose, and prove that nothing is lost or doubled.

Exit 0: every invariant held after every fault; 1: one did not (the folder is kept), or it did not start;
2: an option that cannot be.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tapehouse.chaos import fault, table
from tapehouse.chaos.arena import Arena
from tapehouse.chaos.run import ChaosRun, Wanted
from tapehouse.console import fail, stderr
from tapehouse.errors import FAILED, OperatorError

INTERRUPTED = 130


def command(
    faults: Annotated[
        str | None, typer.Option(metavar="F1,F3,...", help="Only these faults. [default: all]")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each fault is injected.")] = 1,
    storm: Annotated[
        bool, typer.Option("--storm", help="Instead: kill random processes, one after the other.")
    ] = False,
    kills: Annotated[int, typer.Option(min=1, help="Kills of a storm.")] = 1_000,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two kills of a storm.")] = 1.2,
    seed: Annotated[int | None, typer.Option(help="Of faults, kills and orders.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Begin no round after this.", min=0)] = None,
    rate: Annotated[float, typer.Option(min=1, max=500, help="Requests a second of the fleet.")] = 40.0,
    scale: Annotated[
        str, typer.Option(metavar="SERVICE=N,...", help="Instances of services, as for `tapehouse up`.")
    ] = "",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the results here too.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the exchange's folder in any case.")] = False,
    go_on: Annotated[bool, typer.Option("--go-on", help="Go on after a violation.")] = False,
) -> None:
    """Start an exchange, trade on it, inject faults, and hold every invariant after each."""
    try:
        wanted = Wanted(
            seed=secrets.randbelow(10**6) if seed is None else seed,
            faults=() if storm else fault.chosen(faults),
            rounds=rounds,
            storm_kills=kills if storm else 0,
            every_s=every,
            rate=rate,
            most_s=None if minutes is None else minutes * 60,
            go_on=go_on,
        )
        code, found = asyncio.run(_run(wanted, scale, keep=keep))
    except OperatorError as error:
        raise fail("chaos", error) from None
    if json_file is not None:
        json_file.write_text(json.dumps(found, indent=2) + "\n")
    raise typer.Exit(code)


async def _run(wanted: Wanted, scale: str, *, keep: bool) -> tuple[int, dict[str, Any]]:
    console = stderr()
    arena = Arena.fresh(scale)
    chaos = ChaosRun(arena, wanted, lambda text: console.print(text, markup=False, soft_wrap=True))
    own = asyncio.current_task()
    assert own is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, own.cancel)
    code = FAILED
    load = os.getloadavg()[0]
    try:
        await chaos.run()
        code = exit_code(chaos)
    except asyncio.CancelledError:
        console.print("stopped", markup=False)
        code = INTERRUPTED
    finally:
        await arena.stop()
        if keep or code == FAILED:
            console.print(f"kept: {arena.root} (journal.jsonl, up.log, data/logs)", markup=False)
        else:
            arena.remove()
        if chaos.rows:
            print("\n".join(summary(chaos)))
    return code, document(chaos, load)


def exit_code(chaos: ChaosRun) -> int:
    return FAILED if chaos.violations else 0


def summary(chaos: ChaosRun) -> list[str]:
    rows = list(chaos.rows.values())
    said = table.lines(rows)
    for row in rows:
        if row.all_true_s:
            found = table.spread(row.all_true_s)
            assert found is not None
            said.append(
                f"everything killed at once: all invariants true after {found['min']:.1f} s (min), "
                f"{found['p50']:.1f} s (p50), {found['max']:.1f} s (max)"
            )
        if row.fault == fault.STORM.name:
            for name, values in sorted(row.by_service.items()):
                p50, most = table.percentile(values, 0.5), max(values)
                said.append(f"  {name}: {len(values)} kills, recovery p50 {p50:.2f} s, max {most:.2f} s")
    verdict = f"{len(chaos.violations)} violations" if chaos.violations else "every invariant held"
    took = (time.monotonic() - chaos.began) / 60
    return [*said, *chaos.violations, f"seed {chaos.wanted.seed}: {verdict}, {took:.1f} minutes"]


def document(chaos: ChaosRun, load: float) -> dict[str, Any]:
    return {
        "seed": chaos.wanted.seed,
        "minutes": round((time.monotonic() - chaos.began) / 60, 2),
        "load_at_start": round(load, 2),
        "clean": not chaos.violations,
        "faults": [row.document() for row in chaos.rows.values()],
        "all": table.total(list(chaos.rows.values())).document(),
        "audit_s": table.spread(chaos.audits_s),
    }
