"""The command `tapehouse bench orders`."""

from __future__ import annotations

import gc
import json
import secrets
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import httpx
import psycopg
import typer
import uvloop

from schemas.instruments import load_instruments
from service_runtime.errors import Fault
from tapehouse.audit.difference import NotSettled
from tapehouse.bench import exchange_under_load as exchange
from tapehouse.bench.cpu import CpuMeter
from tapehouse.bench.flame_graphs import FlameGraphs
from tapehouse.bench.load import (
    FIRST_CONNECTIONS,
    MOST_CONNECTIONS,
    BuildOrder,
    Load,
    Pool,
    order_call,
    order_request,
)
from tapehouse.bench.order_plan import OrderPlan
from tapehouse.bench.own_command import compare_command, pipeline_command, scale_command
from tapehouse.bench.raw_http import ConnectionPool
from tapehouse.bench.raw_socket import SocketPool
from tapehouse.bench.report import RateSearch, Run, load_text, spread, spread_lines
from tapehouse.bench.shots import Shot, journal_lines, reason, tally
from tapehouse.bench.trade_watch import TradeWatch
from tapehouse.console import fail, log_to_stderr, stderr
from tapehouse.demo.settings import DemoSettings
from tapehouse.errors import OperatorError
from tapehouse.public_client import PublicClient

HELD_P99_MS = 100.0
STREAM_WAIT_S = 10.0
app = typer.Typer(no_args_is_help=True, help="Measure the running exchange from outside.")


@app.callback()
def bench() -> None:
    """Measure the running exchange from outside; `pipeline` and `scale` start one of their own."""


app.command("pipeline")(pipeline_command)
app.command("scale")(scale_command)
app.command("compare")(compare_command)


@dataclass(frozen=True)
class Wanted:
    rate: float
    seconds: float
    warmup_s: float
    accounts: int
    symbols: tuple[str, ...]
    seed: int
    profile: Path | None = None
    """Folder of flame graphs."""
    socket: bool = False
    """Through the WebSocket API, not HTTP."""
    concurrency: int | None = None
    """Closed loop: so many orders under way, instead of a rate."""


@app.command("orders")
def orders_command(
    rate: Annotated[
        float, typer.Option(min=1, help="Orders a second; with --search the first to try.")
    ] = 500,
    seconds: Annotated[float, typer.Option(min=1, help="How long to measure.")] = 60,
    warmup: Annotated[float, typer.Option(min=0, help="Seconds at the same rate before that.")] = 10,
    accounts: Annotated[int, typer.Option(min=2, help="Half of them make, half take.")] = 8,
    symbols: Annotated[str, typer.Option(help="Separated by commas.")] = "BTCUSDT,ETHUSDT,ETHBTC",
    socket: Annotated[
        bool, typer.Option("--socket", help="Through the WebSocket API instead of HTTP.")
    ] = False,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Closed loop: keep so many orders under way, each answer sends the next. --rate then only "
            "says what the exchange's limits must allow.",
        ),
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help=f"Find the highest rate with p99 below {HELD_P99_MS:g} ms.")
    ] = False,
    repeat: Annotated[int, typer.Option(min=1, help="Measure so often; min, median and max are shown.")] = 1,
    seed: Annotated[int, typer.Option(help="Of prices, quantities and accounts.")] = 1,
    journal: Annotated[Path | None, typer.Option(help="Keep what was answered, as JSON lines.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures for machines.")] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write a flame graph (SVG) of each Python process; costs some speed."
        ),
    ] = None,
) -> None:
    """Send orders at a constant rate, half of them crossing, and measure answers, trades and processors."""
    log_to_stderr()
    if search and concurrency is not None:
        raise typer.BadParameter("a search goes by rate", param_hint="--concurrency")
    traded = tuple(symbols.split(","))
    wanted = Wanted(rate, seconds, warmup, accounts, traded, seed, profile, socket, concurrency)
    try:
        with tempfile.TemporaryDirectory(prefix="tapehouse-bench-") as folder:
            told = journal or Path(folder) / "journal.jsonl"
            told.write_bytes(b"")
            document = (_search if search else _repeat)(DemoSettings(), wanted, repeat, told)
    except httpx.TransportError as error:
        raise fail("bench", OperatorError(f"the exchange does not answer: {error}")) from None
    except psycopg.OperationalError as error:
        raise fail("bench", OperatorError(f"Postgres: {error}")) from None
    except (OperatorError, Fault, NotSettled, OSError) as error:
        raise fail("bench", error) from None
    if json_file is not None:
        json_file.write_text(json.dumps(document, indent=2) + "\n")
    if not all(run["audit"].get("clean", True) for run in document["runs"]):
        raise typer.Exit(1)


def _repeat(settings: DemoSettings, wanted: Wanted, repeat: int, journal: Path) -> dict[str, Any]:
    documents = []
    for number in range(repeat):
        run = measure(settings, wanted, journal)
        if number == repeat - 1:
            run.audit = exchange.run_audit(settings, journal)
        print("\n".join(run.lines()))
        documents.append(run.document())
    if repeat > 1:
        print("\n".join(spread_lines(spread(documents))))
    return {"runs": documents, "spread": spread(documents)}


def _search(settings: DemoSettings, wanted: Wanted, _: int, journal: Path) -> dict[str, Any]:
    search, documents = RateSearch(wanted.rate), []
    while search.rate is not None:
        tried = replace(wanted, rate=search.rate)
        run = measure(settings, tried, journal)
        p99 = run.tally.answer.summary_ms().get("p99", float("inf"))
        late = run.tally.lateness.summary_ms().get("p99", 0.0)
        held = run.clean and p99 < HELD_P99_MS
        verdict = "holds" if held else "does not hold"
        print(
            f"{tried.rate:>7g} orders/s: p50 {run.tally.answer.summary_ms().get('p50', 0):.1f} ms, "
            f"p99 {p99:.1f} ms, lateness p99 {late:.1f} ms, "
            f"{run.tally.accepted} of {run.tally.due} accepted: {verdict}",
            flush=True,
        )
        documents.append(run.document())
        search.tell(held=held)
    audited = exchange.run_audit(settings, journal)
    documents[-1]["audit"] = audited
    print(f"highest rate that holds p99 < {HELD_P99_MS:g} ms: {search.held or 'none'} orders/s")
    print(f"audit: {'clean' if audited['clean'] else 'DIFFERS'} {audited['text']}")
    return {"runs": documents, "held_rate": search.held}


def measure(settings: DemoSettings, wanted: Wanted, journal: Path) -> Run:
    """Open accounts, warm up, measure; append what was answered to the journal. Raises OperatorError."""
    run, shots = uvloop.run(_measure(settings, wanted))
    with journal.open("ab") as lines:
        lines.writelines(journal_lines(shots))
    return run


async def _measure(settings: DemoSettings, wanted: Wanted) -> tuple[Run, list[Shot]]:
    name = f"bench-{secrets.token_hex(4)}"
    say = stderr().print
    async with PublicClient(settings.api_url) as client:
        await exchange.check_limits(client, wanted.rate, wanted.seconds + wanted.warmup_s)
        instruments = load_instruments(settings.instruments_file)
        markets = await exchange.markets(client, instruments, wanted.symbols)
    say(f"opening {wanted.accounts} accounts")
    accounts = await exchange.open_accounts(settings, name, wanted.accounts)
    plan = OrderPlan(markets, wanted.accounts, wanted.seed)
    pool, build = _way_in(settings, wanted)
    load = Load(pool, build, accounts, name)
    await pool.open(FIRST_CONNECTIONS)
    await _fill_books(load, plan)
    chosen = load_text(wanted.rate, wanted.concurrency)
    say(f"{chosen}: {wanted.warmup_s:g} s warm-up, then {wanted.seconds:g} s")
    meters: list[CpuMeter] = []
    async with TradeWatch(f"ws://{settings.api_host}:{settings.ports.api}", wanted.symbols) as watch:
        graphs = None
        if wanted.profile is not None:  # of the warm-up too, so that starting them disturbs nothing measured
            watched_s = wanted.warmup_s + wanted.seconds
            graphs = FlameGraphs(wanted.profile, exchange.processes(settings), watched_s)
        gc.collect()
        gc.disable()  # its pauses would be measured as the exchange's

        def measured() -> None:
            meters.append(CpuMeter(exchange.processes(settings)))

        times = wanted.seconds, wanted.warmup_s, measured
        try:
            if wanted.concurrency is None:
                await load.constant(plan.orders(), wanted.rate, *times)
            else:
                await load.in_turn(plan.orders(), wanted.concurrency, *times)
        finally:
            gc.enable()
            for line in graphs.finish() if graphs is not None else ():
                say(line)
        used, window_s = (meters[0].seconds(), meters[0].elapsed_s()) if meters else ({}, 0.0)
        await watch.until_quiet(STREAM_WAIT_S)
        found = tally(load.shots, watch.times())
    await pool.close()
    await exchange.cancel_all(settings, accounts, wanted.symbols)
    run = Run(
        rate=wanted.rate,
        seconds=wanted.seconds,
        warmup_s=wanted.warmup_s,
        accounts=wanted.accounts,
        symbols=wanted.symbols,
        tally=found,
        cpu_s=used,
        window_s=window_s,
        way="WebSocket API" if wanted.socket else "HTTP",
        concurrency=wanted.concurrency,
    )
    return run, load.shots


def _way_in(settings: DemoSettings, wanted: Wanted) -> tuple[Pool, BuildOrder]:
    address = f"{settings.api_host}:{settings.ports.api}"
    if wanted.socket:
        return SocketPool(f"ws://{address}/ws-api/v3"), order_call
    pool = ConnectionPool(settings.api_host, settings.ports.api, MOST_CONNECTIONS)
    return pool, partial(order_request, address)


async def _fill_books(load: Load, plan: OrderPlan) -> None:
    await load.at_once(plan.first_orders())
    refused = [shot for shot in load.shots if not shot.accepted]
    if refused:
        raise OperatorError(f"{len(refused)} of the first orders were refused: {reason(refused[0])}")
