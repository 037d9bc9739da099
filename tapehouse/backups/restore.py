"""Puts a backup back and brings it forward to the end of the log, in a database beside the live one.

What happened after the backup was taken is not decided anew: today's clock, balances and prices would decide
some of it differently from what the matcher was told then. It is taken from the log (`replay.roll_forward`).
Only when all that is done does the new database take the live one's name.
"""

from __future__ import annotations

import gzip
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from schemas.instruments import load_instruments
from schemas.topics import load_topics
from service_runtime.errors import PositionLost
from service_runtime.event_log import EventLog, TopicPartition
from service_runtime.postgres import connect
from service_runtime.settings import ServiceSettings
from tapehouse.backups import manifest as manifests
from tapehouse.backups.backup import table_names
from tapehouse.backups.manifest import Manifest, TableFile
from tapehouse.errors import OperatorError
from tapehouse.migrate import FOLDER, migrate
from tapehouse.replay.roll_forward import RollForward

_OTHERS = (
    "SELECT application_name FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
    " AND pid <> pg_backend_pid() ORDER BY 1"
)
_PIECE = 1 << 16
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Restored:
    manifest: Manifest
    rows: int
    records: int
    """Taken from the log after the backup."""
    kept_as: str | None
    """The database that was there before, if it was to be kept."""


def check_before(settings: ServiceSettings, log: EventLog, folder: Path) -> Manifest:
    """Return the manifest of a whole backup that can go forward. Raises OperatorError, PositionLost."""
    manifest = manifests.read(folder)
    _check_migrations(manifest)
    _check_log(log, manifest)
    refuse_when_used(settings.postgres.dsn)
    return manifest


def restore(
    settings: ServiceSettings,
    log: EventLog,
    folder: Path,
    keep: bool = False,
    progress: Progress = lambda *_: None,
) -> Restored:
    """Raises OperatorError, Fault, psycopg.Error; then the live database is as it was."""
    manifest = check_before(settings, log, folder)
    dsn = settings.postgres.dsn
    live = conninfo.conninfo_to_dict(dsn)["dbname"]
    fresh = f"{live}_restore_{secrets.token_hex(4)}"
    fresh_dsn = conninfo.make_conninfo(dsn, dbname=fresh)
    with _maintenance(dsn) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(fresh)))
        try:
            rows = _fill(fresh_dsn, manifest, folder, progress)
            records = _roll_forward(settings, log, fresh_dsn, manifest, progress)
            refuse_when_used(dsn)
            kept = _take_its_name(server, str(live), fresh, keep)
        except BaseException:
            with suppress(psycopg.Error):
                server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(fresh)))
            raise
    return Restored(manifest, rows, records, kept)


def refuse_when_used(dsn: str) -> None:
    """Raise OperatorError when anybody works on the database; none is there: nobody does."""
    with _maintenance(dsn) as server:
        name = conninfo.conninfo_to_dict(dsn)["dbname"]
        found = sorted({row[0] or "somebody" for row in server.execute(_OTHERS, (name,))})
    if found:
        raise OperatorError(f"the database is in use by {', '.join(found)}: stop the services first")


def holds_accounts(dsn: str) -> bool:
    """Return whether there is anything to lose."""
    try:
        with psycopg.connect(dsn) as connection:
            row = connection.execute("SELECT count(*) FROM accounts WHERE account_id > 2").fetchone()
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return False
    return row is not None and bool(row[0])


def _check_migrations(manifest: Manifest) -> None:
    for name, digest in manifest.migrations.items():
        file = FOLDER / name
        if not file.is_file():
            raise OperatorError(f"the backup is of a later Tapehouse: {name} is not known here")
        if sha256(file.read_bytes()).hexdigest() != digest:
            raise OperatorError(f"the backup is of another Tapehouse: its {name} is not ours")


def _check_log(log: EventLog, manifest: Manifest) -> None:
    places = [(p.topic, p.partition, p.next_offset) for p in manifest.positions]
    for topic, partition, offset in places:
        low, high = log.offsets(TopicPartition(topic, partition))
        if not low <= offset <= high:
            raise PositionLost(topic, partition, offset, f"{low} to {high}")


def _fill(dsn: str, manifest: Manifest, folder: Path, progress: Progress) -> int:
    """Make the schema as it was, fill it, then bring the schema up to date; return the rows."""
    with tempfile.TemporaryDirectory() as then:
        for name in manifest.migrations:
            shutil.copy(FOLDER / name, then)
        migrate(dsn, Path(then))
    with psycopg.connect(dsn, application_name="restore") as connection:
        names = sql.SQL(", ").join(map(sql.Identifier, table_names(connection)))
        connection.execute(sql.SQL("TRUNCATE {}").format(names))
        for number, table in enumerate(manifest.tables):
            progress(f"filling {table.name}", number, len(manifest.tables))
            _copy_in(connection, table, folder)
        for name, (value, called) in manifest.sequences.items():
            connection.execute("SELECT setval(%s::regclass, %s, %s)", (name, value, called))
    migrate(dsn)
    return sum(table.rows for table in manifest.tables)


def _copy_in(connection: psycopg.Connection, table: TableFile, folder: Path) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
    )
    with gzip.open(folder / table.file, "rb") as file, connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            while piece := file.read(_PIECE):
                copy.write(piece)
        if cursor.rowcount != table.rows:
            raise OperatorError(f"{table.file} has {cursor.rowcount} rows, its manifest says {table.rows}")


def _roll_forward(
    settings: ServiceSettings, log: EventLog, dsn: str, manifest: Manifest, progress: Progress
) -> int:
    own = settings.postgres.model_copy(update={"dsn": dsn, "transaction_timeout_s": 0})
    floors: Mapping[TopicPartition, int] = {
        TopicPartition(floor.topic, floor.partition): floor.offset for floor in manifest.floors
    }
    run = RollForward(
        log,
        lambda: connect(own, "restore", wait=False),
        load_topics(settings.topics_file),
        load_instruments(settings.instruments_file),
        floors=floors,
        progress=lambda done, total: progress("going forward from the log", done, total),
    )
    records = run.run()
    with psycopg.connect(dsn) as connection:  # accounts that were opened since took numbers
        connection.execute(
            "SELECT setval('account_ids', greatest((SELECT last_value FROM account_ids),"
            " (SELECT max(account_id) FROM accounts)))"
            " WHERE (SELECT max(account_id) FROM accounts) >= (SELECT last_value FROM account_ids)"
        )
    return records


def _take_its_name(server: psycopg.Connection, live: str, fresh: str, keep: bool) -> str | None:
    """Swap the names; the database that was there goes, or stays under another name."""
    old = f"{fresh}_before"
    there = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (live,)).fetchone()
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    if there:
        server.execute(rename.format(sql.Identifier(live), sql.Identifier(old)))
    server.execute(rename.format(sql.Identifier(fresh), sql.Identifier(live)))
    if there and not keep:
        server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(old)))
    return old if there and keep else None


def _maintenance(dsn: str) -> psycopg.Connection:
    """A database is renamed from another one."""
    return psycopg.connect(
        conninfo.make_conninfo(dsn, dbname="postgres"), autocommit=True, application_name="restore"
    )
