"""`tapehouse balances`: every balance, now or as it was, from the topics alone. See docs/audit.md."""

from __future__ import annotations

import csv
import json
import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from schemas.instruments import load_instruments
from schemas.topics import ACCOUNT_EVENTS, MATCHED_EVENTS, VALIDATED_ORDERS, load_topics
from service_runtime.errors import Fault
from service_runtime.event_log import TopicPartition
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import ServiceSettings
from tapehouse.audit.audit import Bar
from tapehouse.audit.look_back import Moment, look_back, texts
from tapehouse.audit.progress import shown_progress
from tapehouse.console import fail, stderr
from tapehouse.errors import OperatorError
from tapehouse.replay.bounds import parse_bound


class Form(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


At = Annotated[
    list[str] | None,
    typer.Option(
        "--at",
        help="Balances as they were: a time (2026-01-08T12:00:00Z), or matched-events' PARTITION:OFFSET.",
    ),
]
Account = Annotated[int | None, typer.Option(help="Of this account alone.", min=1)]
Shape = Annotated[Form, typer.Option("--format", help="How to print balances.")]


def balances_command(at: At = None, account: Account = None, form: Shape = Form.TABLE) -> None:
    """Show what every account had, available and locked, from the topics alone."""
    show_balances(at or [], account, form)


def show_balances(at: list[str], account: int | None, form: Form) -> None:
    settings = ServiceSettings()
    topics, instruments = load_topics(settings.topics_file), load_instruments(settings.instruments_file)
    bound = parse_bound("--at", at)
    with KafkaEventLog(settings.kafka, "tapehouse-balances") as log, shown_progress() as progress:
        sources = [
            TopicPartition(topic, p)
            for topic in (ACCOUNT_EVENTS, VALIDATED_ORDERS, MATCHED_EVENTS)
            for p in range(topics.topics[topic].partitions)
        ]
        bar = Bar(progress, "reading the topics", sum(log.offsets(source)[1] for source in sources))
        try:
            moment = look_back(log, topics, instruments, bound, bar.add)
        except Fault as error:
            raise fail("balances", OperatorError(str(error))) from error
    if account is not None:
        moment.rows = {key: row for key, row in moment.rows.items() if key[0] == account}
    _print(moment, texts(moment.rows, instruments), form)


def _print(moment: Moment, rows: list[dict[str, str | int]], form: Form) -> None:
    places = {str(p): offset for p, offset in sorted(moment.places.items())}
    if form is Form.JSON:
        print(json.dumps({"matched_events": places, "balances": rows}, indent=2))
        return
    if form is Form.CSV:
        writer = csv.DictWriter(sys.stdout, ("account", "asset", "available", "locked"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return
    table = Table("account", "asset", "available", "locked")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    before = ", ".join(f"{partition}:{offset}" for partition, offset in places.items())
    stderr().print(f"before {MATCHED_EVENTS} {before}", soft_wrap=True)
