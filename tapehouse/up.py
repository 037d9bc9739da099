"""`tapehouse up`: start an exchange on this machine and stay with it.

Exit 0: stopped when asked to; 1: something did not start, or an exchange already runs on the data folder;
2: an option that cannot be. With `--json` it prints where things are, as one object, once it serves.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tapehouse.addresses import addresses
from tapehouse.console import DataOption, JsonOption, answer
from tapehouse.errors import FAILED, OperatorError
from tapehouse.exchange import Exchange
from tapehouse.local_stack import data_folder, ports
from tapehouse.service_table import parse_scale
from tapehouse.settings import OperatorSettings
from tapehouse.supervisor import log_file, state_file
from tapehouse.supervisor.process import Crash
from tapehouse.supervisor.program import Program
from tapehouse.supervisor.supervisor import Supervisor
from tapehouse.training import train_when_idle

LEFTOVER_PATIENCE_S: Final = 8.0
MOST_CRASHES_AT_START: Final = 4


def command(
    data: DataOption = None,
    scale: Annotated[
        str | None,
        typer.Option(metavar="SERVICE=N,...", help="Instances of services, as processor=2,matcher=2."),
    ] = None,
    standby: Annotated[
        str | None,
        typer.Option(metavar="SERVICE", help="Let a second process stand by for it: matcher."),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Open two funded accounts and let a fleet trade.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready; it runs on.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start Kafka, PostgreSQL, Valkey and all services here, and keep them running until Ctrl-C."""
    exchange = plan(data, scale, demo, standby)
    if detach:
        _detach(exchange, as_json)
    else:
        raise typer.Exit(run(exchange, as_json))


def plan(data: Path | None, scale: str | None, demo: bool, standby: str | None = None) -> Exchange:
    """What `up` would start. Raises OperatorError."""
    settings, instances = OperatorSettings(), parse_scale(scale, standby)
    user = data_folder.postgres_user() if settings.embeds_postgres else None
    folder = data_folder.choose(data or settings.data, Path.cwd(), user)
    folder.create(run_as=user)
    return Exchange(settings, folder, instances, user, demo)


def run(exchange: Exchange, as_json: bool = False) -> int:
    console = Console(highlight=False, stderr=as_json)
    with state_file.locked(exchange.folder.run):
        _end_leftovers(exchange, console)
        _require_space(exchange)
        conflict = ports.first_conflict(exchange.wanted_ports())
        if conflict is not None:
            raise OperatorError(conflict)
        with asyncio.Runner() as runner:
            session = _Session(exchange, console, as_json)
            code = runner.run(session.run())
            if session.interrupted:  # a download or an initdb under way would keep the interpreter waiting
                sys.stdout.flush()
                os._exit(code)
    return code


def _detach(exchange: Exchange, as_json: bool) -> None:
    """Run `tapehouse up` as a process of its own, return once it serves, and say where."""
    folder, scale = exchange.folder, ",".join(f"{name}={count}" for name, count in exchange.scale.items())
    output = folder.logs / "up.log"
    since = log_file.size(output)
    argv = [sys.executable, "-m", "tapehouse", "up", "--data", str(folder.root), "--scale", scale]
    with output.open("ab") as log:
        process = subprocess.Popen(
            [*argv, *(["--demo"] if exchange.demo else [])],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while process.poll() is None:
        state = state_file.read(folder.run)
        if state is not None and state.pid == process.pid and state.phase == "running":
            document, line = serving(exchange, process.pid)
            answer(as_json, document, f"{line}; `tapehouse down` stops it")
            return
        time.sleep(0.05)
    said = "\n".join(log_file.tail(output, 40, since=since))
    said = said.removeprefix("tapehouse: ")
    raise OperatorError(said or "it ended without a word", exit_code=process.returncode or FAILED)


def _end_leftovers(exchange: Exchange, console: Console) -> None:
    state = state_file.read(exchange.folder.run)
    if state is not None and (left := state_file.end_leftovers(state, LEFTOVER_PATIENCE_S)):
        console.print(f"The exchange was not stopped in order last time; ended {', '.join(left)}.")


def _require_space(exchange: Exchange) -> None:
    """A broker that finds no space ends in the middle of something: refuse before anything starts."""
    root, least_mb = exchange.folder.root, exchange.settings.min_free_mb
    free_mb = shutil.disk_usage(root).free >> 20
    if free_mb < least_mb:
        raise OperatorError(
            f"the disk of {root} is full: {free_mb} MiB are free, an exchange asks for {least_mb}. "
            "Free some, choose another folder with --data, or another limit with TAPEHOUSE_MIN_FREE_MB."
        )


class _Session:
    """One life of an exchange: prepared, started, watched, stopped."""

    def __init__(self, exchange: Exchange, console: Console, as_json: bool) -> None:
        self._exchange = exchange
        self._as_json = as_json
        self._console = console
        self._supervisor = Supervisor(exchange.folder.run, self._crashed)
        self._asked_to_stop = asyncio.Event()
        self.interrupted = False
        """Stopped before it had started."""

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop)
        starting = asyncio.create_task(self._start())
        stopped = asyncio.create_task(self._asked_to_stop.wait())
        try:
            await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                training = asyncio.create_task(train_when_idle(self._exchange))
                await stopped
                training.cancel()
                await asyncio.gather(training, return_exceptions=True)
            else:
                self.interrupted = True
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
            return 0
        finally:
            stopped.cancel()
            self._say("Stopping ...")
            began = time.monotonic()
            await self._supervisor.stop()
            self._say(f"Stopped in {time.monotonic() - began:.1f} s.")

    def _stop(self) -> None:
        if self._asked_to_stop.is_set():
            self._supervisor.kill()  # asked twice: no more patience
        self._asked_to_stop.set()

    async def _start(self) -> None:
        began = time.monotonic()
        exchange, environment = self._exchange, self._exchange.environment()
        self._supervisor.publish(environment)
        servers = await self._prepare()
        await self._supervisor.start(servers, tolerated_crashes=0)
        if servers:
            self._say_since(began, f"up: {', '.join(server.name for server in servers)}")
        for step in (self._apply_topics, self._migrate):
            await asyncio.to_thread(step)
        for programs in (exchange.services(), exchange.traders()):
            await self._supervisor.start(programs, tolerated_crashes=MOST_CRASHES_AT_START)
        self._supervisor.running()
        self._say_since(began, f"the exchange is up; its data is in {exchange.folder.root}")
        if exchange.demo:
            keys = exchange.folder.root / "secrets" / "demo-accounts.json"
            self._say(f"A fleet trades; the keys of the demo's accounts are in {keys}")
        document, line = serving(exchange, os.getpid())
        if self._as_json:
            answer(True, document)
            sys.stdout.flush()
        else:
            self._say(f"{line}  (Ctrl-C stops it)")

    async def _prepare(self) -> list[Program]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        seen = self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=not seen) as progress:
            jars = progress.add_task("Downloading Apache Kafka", total=None, visible=False)

            def downloaded(present: int, total: int) -> None:
                progress.update(jars, completed=present, total=total, visible=True)
                if not seen and present in (0, total):
                    self._say(f"Downloading Apache Kafka: {present} of {total} jars")

            preparations = self._exchange.preparations(downloaded)
            return list(await asyncio.gather(*(asyncio.to_thread(prepare) for prepare in preparations)))

    def _apply_topics(self) -> None:
        from tapehouse import topics

        servers = self._exchange.environment()["TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS"]
        topics.apply(servers, kafka=self._exchange.settings.kafka)

    def _migrate(self) -> None:
        from tapehouse.migrate import migrate

        migrate(self._exchange.environment()["TAPEHOUSE_POSTGRES__DSN"])

    def _crashed(self, crash: Crash) -> None:
        pause = "now" if not crash.restart_in_s else f"in {crash.restart_in_s:.1f} s"
        self._console.print(
            f"{crash.name} ended ({crash.ending}); it is started again {pause}.",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
        for line in crash.last_lines:
            self._console.print(f"  {crash.name} | {line}", style="dim", markup=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def _say_since(self, began: float, text: str) -> None:
        self._say(f"{time.monotonic() - began:6.1f} s  {text}")


def serving(exchange: Exchange, pid: int) -> tuple[dict[str, Any], str]:
    """Where everything is: for a script, and in one line for a person."""
    at = addresses(exchange.environment())
    document = {"data": str(exchange.folder.root), "supervisor": pid, **at}
    return document, f"API {at['api']}  WebSocket {at['websocket']}  docs {at['docs']}"
