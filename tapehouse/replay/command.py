"""The command `tapehouse replay`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from schemas.instruments import load_instruments
from schemas.topics import Topic, TopicMap, load_topics
from service_runtime.errors import InvariantBroken, LogFault
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import ServiceSettings
from tapehouse.console import fail, log_to_stderr, stderr
from tapehouse.errors import USAGE, OperatorError
from tapehouse.replay.bounds import parse_bound
from tapehouse.replay.ranges import Broker, Range
from tapehouse.replay.reader import TopicReader
from tapehouse.replay.sinks import BATCH_ROWS, Format, Sink, format_of, open_sink

INTERRUPTED = 130


def command(
    topic: Annotated[str, typer.Argument(help="A topic of topics.yaml, such as trade-execution.")],
    symbol: Annotated[str | None, typer.Option(help="Only records of this symbol.")] = None,
    start: Annotated[
        list[str] | None, typer.Option("--from", metavar="TIME|OFFSET|P:OFFSET", help="First in.")
    ] = None,
    end: Annotated[
        list[str] | None, typer.Option("--to", metavar="TIME|OFFSET|P:OFFSET", help="First out.")
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="Default: by the name of FILE, else jsonl.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Default: standard output.")] = None,
    decimals: Annotated[
        bool, typer.Option("--decimals/--integers", help="Decimal prices and amounts, or ticks and lots.")
    ] = False,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option("--bootstrap-servers", "-b", help="Default: TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS."),
    ] = None,
) -> None:
    """Write a topic as JSON lines, CSV or Parquet: each record once, in order, with typed columns."""
    log_to_stderr()
    try:
        replay(
            topic, symbol, start or [], end or [], form or format_of(out), out, decimals, bootstrap_servers
        )
    except BrokenPipeError:  # the reader of the pipe, `head` for instance, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except (OperatorError, LogFault, InvariantBroken, ValueError) as error:
        raise fail("replay", error) from None


def replay(
    topic_name: str,
    symbol: str | None,
    start: Sequence[str],
    end: Sequence[str],
    form: Format,
    out: Path | None,
    decimals: bool,
    bootstrap_servers: str | None,
) -> TopicReader:
    """Do what the command does, and return the reader with its counts."""
    settings = ServiceSettings()
    kafka = settings.kafka
    if bootstrap_servers is not None:
        kafka = kafka.model_copy(update={"bootstrap_servers": bootstrap_servers})
    topic_map = load_topics(settings.topics_file)
    topic = _topic(topic_map, topic_name, symbol)
    since, until = parse_bound("--from", start), parse_bound("--to", end)
    partition = topic_map.symbols[symbol] if symbol is not None and topic.by == "symbol" else None
    ranges = Broker(kafka).ranges(topic.name, partition, since, until)
    checked = all(part.start == 0 for part in ranges)
    reader = TopicReader(
        topic, load_instruments(settings.instruments_file), decimals=decimals, symbol=symbol, checked=checked
    )
    with KafkaEventLog(kafka, "tapehouse-replay") as log, open_sink(form, reader.columns, out) as sink:
        _copy(reader, log, ranges, sink)
    _report(reader)
    return reader


def _topic(topic_map: TopicMap, name: str, symbol: str | None) -> Topic:
    topic = topic_map.topics.get(name)
    if topic is None:
        known = ", ".join(sorted(topic_map.topics))
        raise OperatorError(f"there is no topic {name}; the topics are {known}", exit_code=USAGE)
    if symbol is not None and symbol not in topic_map.symbols:
        known = ", ".join(topic_map.symbols)
        raise OperatorError(f"there is no symbol {symbol}; the symbols are {known}", exit_code=USAGE)
    if symbol is not None and topic.name in ("account-events", "dead-letters"):
        raise OperatorError(f"the records of {name} have no symbol", exit_code=USAGE)
    return topic


def _copy(reader: TopicReader, log: KafkaEventLog, ranges: Sequence[Range], sink: Sink) -> None:
    rows = reader.rows_of(log, ranges)
    with _progress(sum(part.size for part in ranges)) as advance:
        while batch := list(islice(rows, BATCH_ROWS)):
            sink.write(batch)
            advance.to(reader.read)
        advance.to(reader.read)


class _Advance:
    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("records", total=total)

    def to(self, completed: int) -> None:
        self._progress.update(self._task, completed=completed)


@contextmanager
def _progress(total: int) -> Iterator[_Advance]:
    """A bar on standard error, where a person looks at it."""
    console = stderr()
    bar = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bar, console=console, disable=not console.is_terminal, transient=True) as progress:
        yield _Advance(progress, total)


def _report(reader: TopicReader) -> None:
    console = stderr()
    console.print(
        f"{reader.rows} rows from {reader.read} records, {reader.duplicates} duplicates dropped, "
        f"{reader.unreadable} unreadable"
    )
    for example in reader.examples:
        console.print(f"  unreadable: {example}", markup=False, soft_wrap=True)
