"""A database of the audit's own, beside the live one or on another server; gone when it is done."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import conninfo, sql

from tapehouse.migrate import migrate

PREFIX = "tapehouse_rebuild_"


@contextmanager
def scratch_database(server_dsn: str) -> Iterator[str]:
    """Yield the DSN of an empty database with our schema. The role must be allowed to create databases."""
    name = PREFIX + secrets.token_hex(6)
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        dsn = conninfo.make_conninfo(server_dsn, dbname=name)
        migrate(dsn)
        yield dsn
    finally:
        with psycopg.connect(server_dsn, autocommit=True) as connection:
            # Not by FORCE: that would have to end autovacuum, which only a superuser may.
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
