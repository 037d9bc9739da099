"""`tapehouse audit`: prove the exchange's invariants, or name the first difference. See docs/audit.md."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import psycopg
import typer

from service_runtime.errors import Fault
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import ServiceSettings
from tapehouse import running
from tapehouse.audit.audit import DEEP, NAMES, Options, Report, audit
from tapehouse.audit.difference import NotSettled
from tapehouse.audit.look_back_command import Account, At, Form, Shape, show_balances
from tapehouse.audit.progress import shown_progress
from tapehouse.audit.rebuild import Rebuilt, rebuild
from tapehouse.console import JsonOption, log_to_stderr
from tapehouse.errors import USAGE, OperatorError


def audit_command(
    as_json: JsonOption = False,
    wait: Annotated[
        float, typer.Option(help="Seconds the services may take to come to the end of the log.", min=0)
    ] = 60.0,
    journal: Annotated[
        Path | None,
        typer.Option(
            help="JSON lines of what clients were told: no 2xx is lost, no unknown doubled.", exists=True
        ),
    ] = None,
    deep: Annotated[bool, typer.Option("--deep", help=f"Also {', '.join(sorted(DEEP))}.")] = False,
    only: Annotated[str, typer.Option(help="Of these invariants alone: I7,I10.")] = "",
    rebuild_all: Annotated[
        bool,
        typer.Option("--rebuild", help="Read the topics into an empty database and empty books; compare."),
    ] = False,
    database: Annotated[
        str | None, typer.Option(help="With --rebuild: DSN of another server to make the database on.")
    ] = None,
    at: At = None,
    account: Account = None,
    form: Shape = Form.TABLE,
) -> None:
    """Check the invariants of the running exchange; exit 1 with the first difference."""
    if at is not None:
        show_balances(at, account, form)
        return
    if "TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS" not in os.environ:  # where one runs, the command line has set it
        running.state_of(running.folder_of(None))
    settings = ServiceSettings()
    options = Options(wait, journal, deep, chosen(only))
    log_to_stderr()
    with KafkaEventLog(settings.kafka, "tapehouse-audit") as log, shown_progress() as progress:
        try:
            found: Report | Rebuilt
            if rebuild_all:
                found = rebuild(settings, log, wait, database, progress)
            else:
                found = audit(settings, log, options, progress)
        except (NotSettled, Fault) as error:
            raise OperatorError(str(error)) from error
        except psycopg.Error as error:
            raise OperatorError(f"Postgres: {error}") from error
    if isinstance(found, Rebuilt):
        document, text = rebuilt_document(found), rebuilt_lines(found)
    else:
        document, text = as_document(found), lines(found)
    typer.echo(json.dumps(document, indent=2) if as_json else "\n".join(text))
    if found.difference is not None:
        raise typer.Exit(1)


def chosen(text: str) -> frozenset[str]:
    """Return the invariants that `--only` names. Raises OperatorError."""
    names = frozenset(name.strip().upper() for name in text.split(",") if name.strip())
    if unknown := names - NAMES.keys():
        raise OperatorError(
            f"--only {', '.join(sorted(unknown))}: the invariants are {', '.join(NAMES)}", exit_code=USAGE
        )
    return names


def lines(report: Report) -> list[str]:
    """Return what a person reads: one line per invariant, then the verdict."""
    shown = []
    for invariant, name in NAMES.items():
        verdict = report.verdicts.get(invariant)
        failed = report.difference is not None and report.difference.invariant == invariant
        if invariant not in report.wanted and not failed and verdict is None:
            continue
        state = "DIFFERS" if failed else "ok" if verdict is not None else "not come to"
        shown.append(
            f"{invariant:<4} {name:<30} {state:<12} {report.difference if failed else verdict or ''}".rstrip()
        )
    rate = report.records / report.seconds if report.seconds else 0
    shown.append(f"{report.records} records in {report.seconds:.1f} s ({rate:,.0f}/s)")
    return shown


def as_document(report: Report) -> dict[str, object]:
    return {
        "ok": report.clean,
        "invariants": {
            i: {"name": name, "ok": i in report.verdicts, "checked": report.verdicts.get(i)}
            for i, name in NAMES.items()
            if i in report.wanted or i in report.verdicts
        },
        "difference": _difference(report),
        "records": report.records,
        "seconds": round(report.seconds, 3),
    }


def rebuilt_lines(rebuilt: Rebuilt) -> list[str]:
    shown = [f"{table:<20} {rows:>9} rows equal" for table, rows in rebuilt.tables.items()]
    if rebuilt.books is not None:
        for symbol, book in sorted(rebuilt.books.books.items()):
            at = rebuilt.books.compared.get(symbol)
            snapshot = f", the matcher's own at sequence {at} is equal" if at else ""
            shown.append(
                f"{'book ' + symbol:<20} {book.sequence:>9} records equal, {book.book_hash}{snapshot}"
            )
    if rebuilt.difference is not None:
        shown.append(f"DIFFERS: {rebuilt.difference}")
    verdict = "rebuilt and equal" if rebuilt.difference is None else "not equal"
    return [*shown, f"{verdict}: {rebuilt.records} records in {rebuilt.seconds:.1f} s"]


def rebuilt_document(rebuilt: Rebuilt) -> dict[str, object]:
    books = {} if rebuilt.books is None else rebuilt.books.books
    return {
        "ok": rebuilt.difference is None,
        "tables": rebuilt.tables,
        "books": {
            symbol: {"sequence": b.sequence, "last_hash": b.last_hash, "book_hash": b.book_hash}
            for symbol, b in sorted(books.items())
        },
        "difference": _difference(rebuilt),
        "records": rebuilt.records,
        "seconds": round(rebuilt.seconds, 3),
    }


def _difference(found: Report | Rebuilt) -> dict[str, str] | None:
    difference = found.difference
    return None if difference is None else {"invariant": difference.invariant, "text": str(difference)}
