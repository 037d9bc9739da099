"""Broker and database of a data folder on which no exchange runs, for as long as a restore takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from service_runtime.settings import KafkaSettings, PostgresSettings, ServiceSettings
from tapehouse.errors import OperatorError
from tapehouse.exchange import Exchange
from tapehouse.supervisor import state_file
from tapehouse.supervisor.program import Program, launch
from tapehouse.up import plan

_PAUSE_S = 0.05
_STOP_PATIENCE_S = 30.0


@contextmanager
def servers_of(data: Path | None) -> Iterator[ServiceSettings]:
    """Start the embedded ones of broker and database; yield where they and the others are."""
    exchange = plan(data, None, False)
    if state_file.running(exchange.folder.run) is not None:
        raise OperatorError(f"an exchange runs on {exchange.folder.root}: `tapehouse down` stops it")
    with state_file.locked(exchange.folder.run), ExitStack() as stack:
        for program in _programs(exchange):
            stack.enter_context(_running(program))
        environment = exchange.environment()
        settings = exchange.settings
        yield settings.model_copy(
            update={
                "kafka": KafkaSettings(
                    **{
                        **settings.kafka.model_dump(),
                        "bootstrap_servers": environment["TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS"],
                    }
                ),
                "postgres": PostgresSettings(
                    **{**settings.postgres.model_dump(), "dsn": environment["TAPEHOUSE_POSTGRES__DSN"]}
                ),
            }
        )


def _programs(exchange: Exchange) -> Iterator[Program]:
    if exchange.kafka is not None:
        yield exchange.kafka.prepare(lambda present, total: None)
    if exchange.postgres is not None:
        yield exchange.postgres.prepare()


@contextmanager
def _running(program: Program) -> Iterator[None]:
    process = launch(program)
    try:
        deadline = time.monotonic() + program.start_timeout_s
        while not program.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise OperatorError(f"{program.name} did not start: see {program.log_file}")
            time.sleep(_PAUSE_S)
        yield
    finally:
        process.send_signal(program.stop_signal)
        process.wait(_STOP_PATIENCE_S)
