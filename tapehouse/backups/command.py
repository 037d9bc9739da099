"""`tapehouse backup DEST` and `tapehouse restore SRC`.

Exit 0: done; 1: it failed, the answer was no, or the exchange still runs on the data folder (`restore`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import psycopg
import typer

from schemas.topics import load_topics
from service_runtime.errors import Fault
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import ServiceSettings
from tapehouse.audit.progress import shown_progress
from tapehouse.backups.backup import backup
from tapehouse.backups.restore import check_before, holds_accounts, restore
from tapehouse.backups.servers import servers_of
from tapehouse.console import DataOption, fail, log_to_stderr
from tapehouse.errors import OperatorError


def backup_command(
    dest: Annotated[Path, typer.Argument(help="A folder that is not there yet, or empty.")],
) -> None:
    """Save the running exchange's database with its positions in the log."""
    settings = ServiceSettings()
    with KafkaEventLog(settings.kafka, "tapehouse-backup") as log, shown_progress() as progress:
        try:
            taken = backup(settings.postgres.dsn, log, load_topics(settings.topics_file), dest, progress)
        except (Fault, OSError, psycopg.Error) as error:
            raise fail("backup", OperatorError(str(error))) from error
    rows = sum(table.rows for table in taken.tables)
    size = sum(file.stat().st_size for file in dest.iterdir())
    print(f"Saved {len(taken.tables)} tables, {rows} rows, {size / 1e6:.1f} MB to {dest}.")


def restore_command(
    src: Annotated[Path, typer.Argument(help="A folder that `tapehouse backup` made.", exists=True)],
    data: DataOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the database that was there, under another name.")
    ] = False,
) -> None:
    """Put a backup back and bring it forward to the end of the log. The exchange must be stopped."""
    log_to_stderr()
    with (
        servers_of(data) as settings,
        KafkaEventLog(settings.kafka, "tapehouse-restore") as log,
    ):
        try:
            taken = check_before(settings, log, src)
            question = f"Put the backup of {taken.taken_at} in place of the database that is there"
            if holds_accounts(settings.postgres.dsn) and not yes and not typer.confirm(f"{question}?"):
                raise OperatorError("nothing was restored")
            with shown_progress() as progress:
                done = restore(settings, log, src, keep, progress)
        except (Fault, OSError, psycopg.Error, OperatorError) as error:
            raise fail("restore", error) from error
    print(f"Restored {done.rows} rows of {taken.taken_at}, and {done.records} records from the log after it.")
    if done.kept_as is not None:
        print(f"The database that was there is now {done.kept_as}.")
