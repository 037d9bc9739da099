"""Takes a backup while the exchange runs: every table, in one snapshot of the database.

Positions are rows like the others, so the backup says by itself how far into the log it reaches.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from pathlib import Path

import psycopg
from psycopg import sql

from schemas.topics import ORDER_REPLIES, VALIDATED_ORDERS, TopicMap
from service_runtime.event_log import EventLog, TopicPartition
from tapehouse.backups import manifest
from tapehouse.backups.manifest import Floor, Manifest, PositionRow, TableFile
from tapehouse.errors import OperatorError

MIGRATIONS_TABLE = "schema_migrations"
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> %s"
_REFERENCES = (
    "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint"
    " WHERE contype = 'f' AND connamespace = current_schema()::regnamespace"
)
_COLUMNS = (
    "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    " AND table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position"
)
_SEQUENCES = "SELECT sequencename FROM pg_sequences WHERE schemaname = current_schema()"
_LEVEL = 3
Progress = Callable[[str, int, int], None]


def backup(
    dsn: str, log: EventLog, topics: TopicMap, folder: Path, progress: Progress = lambda *_: None
) -> Manifest:
    """Write the backup to `folder`, which must not be there or be empty; it is whole or not there at all."""
    if folder.exists() and any(folder.iterdir()):
        raise OperatorError(f"{folder} is not empty")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        floors = _floors(log, topics)  # before the snapshot: what it does not know comes behind them
        with psycopg.connect(dsn, application_name="backup") as connection:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            taken = _write(connection, partial, floors, progress)
            connection.rollback()
        manifest.write(partial, taken)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return taken


def _write(
    connection: psycopg.Connection, folder: Path, floors: tuple[Floor, ...], progress: Progress
) -> Manifest:
    names = table_names(connection)
    migrations: dict[str, str] = dict(
        connection.execute("SELECT name, sha256 FROM schema_migrations ORDER BY name").fetchall()
    )
    files = []
    for number, name in enumerate(names):
        progress(f"saving {name}", number, len(names))
        files.append(_copy_out(connection, name, folder))
    positions = connection.execute(
        "SELECT service, topic, partition, next_offset FROM positions ORDER BY 1, 2, 3"
    ).fetchall()
    return Manifest(
        format=manifest.FORMAT,
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        server_version=str(connection.info.parameter_status("server_version")),
        migrations=migrations,
        tables=tuple(files),
        sequences={name: _sequence(connection, name) for (name,) in connection.execute(_SEQUENCES)},
        positions=tuple(
            PositionRow(service=service, topic=topic, partition=partition, next_offset=offset)
            for service, topic, partition, offset in positions
        ),
        floors=floors,
    )


def table_names(connection: psycopg.Connection) -> list[str]:
    """Return our tables, each after those it refers to."""
    order: TopologicalSorter[str] = TopologicalSorter()
    for (name,) in connection.execute(_TABLES, (MIGRATIONS_TABLE,)).fetchall():
        order.add(name)
    for name, other in connection.execute(_REFERENCES).fetchall():
        if name != other:
            order.add(name, other)
    return list(order.static_order())


def _copy_out(connection: psycopg.Connection, name: str, folder: Path) -> TableFile:
    columns = tuple(column for (column,) in connection.execute(_COLUMNS, (name,)).fetchall())
    statement = sql.SQL("COPY {} ({}) TO STDOUT").format(
        sql.Identifier(name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    path = folder / f"{name}.copy.gz"
    with gzip.open(path, "wb", compresslevel=_LEVEL) as file, connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for piece in copy:
                file.write(bytes(piece))
        rows = cursor.rowcount
    return TableFile(name=name, columns=columns, rows=rows, checksum=manifest.checksum(path))


def _sequence(connection: psycopg.Connection, name: str) -> tuple[int, bool]:
    row = connection.execute(
        sql.SQL("SELECT last_value, is_called FROM {}").format(sql.Identifier(name))
    ).fetchone()
    assert row is not None
    return int(row[0]), bool(row[1])


def _floors(log: EventLog, topics: TopicMap) -> tuple[Floor, ...]:
    return tuple(
        Floor(topic=topic, partition=p, offset=log.offsets(TopicPartition(topic, p))[1])
        for topic in (VALIDATED_ORDERS, ORDER_REPLIES)
        for p in range(topics.topics[topic].partitions)
    )
