"""Brings the schema up to date: numbered SQL files, each once, each in its own transaction."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import psycopg

_LOCK = 0x7461706568  # "tapeh": one migrator at a time


class MigrationChanged(RuntimeError):
    """A file that was applied before has other text now."""


def migrate(dsn: str, folder: Path) -> list[str]:
    """Apply the files of `folder` (`NNNN_name.sql`) that are not yet applied; return their names.

    Safe to run from several processes at once. Raises MigrationChanged, or psycopg.Error of a failing
    file (nothing of that file stays).
    """
    applied: list[str] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done: dict[str, str] = dict(
            connection.execute("SELECT name, sha256 FROM schema_migrations").fetchall()
        )
        for file in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql")):
            text = file.read_text(encoding="utf-8")
            digest = sha256(text.encode()).hexdigest()
            if file.name in done:
                if done[file.name] != digest:
                    raise MigrationChanged(f"{file.name} was changed after it was applied")
                continue
            with connection.transaction():
                connection.execute(text.encode())
                connection.execute(
                    "INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)", (file.name, digest)
                )
            applied.append(file.name)
    return applied
