"""The command `tapehouse demo`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import psycopg
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from schemas.instruments import load_instruments
from schemas.topics import load_topics
from service_runtime.errors import Fault
from service_runtime.kafka_log import KafkaEventLog
from tapehouse.audit.audit import Options, audit
from tapehouse.audit.difference import NotSettled
from tapehouse.console import fail, log_to_stderr, stderr
from tapehouse.demo import accounts, quiet
from tapehouse.demo.fleet import main as fleet_main
from tapehouse.demo.settings import DemoSettings
from tapehouse.demo.tape import funds_for, read_tape
from tapehouse.demo.tape_check import TapeCheck, TapeDiffers
from tapehouse.demo.tape_sender import TapeSender
from tapehouse.errors import USAGE, OperatorError
from tapehouse.public_client import PublicClient

ACCOUNTS = 4
app = typer.Typer(help="Demo accounts, a small trading fleet, and recorded tapes.")


@app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    tape: Annotated[
        Path | None, typer.Option(help="Send this recorded tape, then prove that it is what is served.")
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="Times as fast as recorded; 0: as fast as order allows.")
    ] = 0.0,
    first: Annotated[int | None, typer.Option(min=1, help="Only so many trades of the tape.")] = None,
    symbol: Annotated[str, typer.Option(help="The symbol of the tape.")] = "BTCUSDT",
) -> None:
    """Send a recorded tape through the public API as pairs of orders, and check what is served."""
    if context.invoked_subcommand is not None:
        return
    log_to_stderr()
    try:
        if tape is None:
            raise OperatorError("nothing to do: give --tape FILE, or the command `fleet`", exit_code=USAGE)
        for line in asyncio.run(send_tape(DemoSettings(), tape, first, speed, symbol)):
            print(line)
    except httpx.TransportError as error:
        raise fail("demo", OperatorError(f"the exchange does not answer: {error}")) from None
    except psycopg.OperationalError as error:
        raise fail("demo", OperatorError(f"Postgres: {error}")) from None
    except (OperatorError, Fault, NotSettled) as error:
        raise fail("demo", error) from None


@app.command("fleet")
def fleet_command() -> None:
    """Trade gently on every symbol until stopped (`tapehouse up --demo` runs this)."""
    raise typer.Exit(fleet_main())


async def send_tape(
    settings: DemoSettings, path: Path, first: int | None, speed: float, symbol: str
) -> list[str]:
    """Send the tape, prove what is served, audit; return what was proved. Raises OperatorError."""
    instrument = load_instruments(settings.instruments_file).get(symbol)
    if instrument is None:
        raise OperatorError(f"there is no symbol {symbol}", exit_code=USAGE)
    trades = read_tape(path, instrument)[:first]
    if not trades:
        raise OperatorError(f"{path} has no trades", exit_code=USAGE)
    run = f"tape-{secrets.token_hex(4)}"
    wanted = {f"{run}-{n + 1}": funds_for(trades, instrument) for n in range(ACCOUNTS)}
    found = await accounts.provide(settings, wanted, keep=False)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(PublicClient(settings.api_url, one.api_key, one.secret))
            for one in found.values()
        ]
        stack.enter_context(quiet.held(settings.quiet_file(symbol)))
        sender = TapeSender(clients, instrument, run)
        await sender.await_empty_book()
        after = await sender.last_trade_id()
        with _progress("tape", len(trades)) as sent:
            await sender.send(trades, speed, sent)
        check = TapeCheck(clients[0], instrument, after)
        proved = await check.trades(trades)
        with KafkaEventLog(settings.kafka, f"tapehouse-{run}") as log:
            proved += await check.market_data(log, load_topics(settings.topics_file))
            proved += await asyncio.to_thread(_audit, settings, log)
    return proved


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    console = stderr()
    bar = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bar, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def _audit(settings: DemoSettings, log: KafkaEventLog) -> list[str]:
    report = audit(settings, log, Options())
    if report.difference is not None:
        raise TapeDiffers(f"audit: {report.difference}")
    return [f"audit clean: {report.records} records, {', '.join(sorted(report.verdicts))}"]
