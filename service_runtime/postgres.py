"""Connections to Postgres. In the middle of work a lost one ends the process; at start we wait."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import structlog

from service_runtime.errors import DependencyLost, InvariantBroken
from service_runtime.settings import PostgresSettings

_log = structlog.get_logger("postgres")
_HAS_TRANSACTION_TIMEOUT = 17_00_00
_LOST = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
)


def connect(settings: PostgresSettings, application: str, wait: bool = True) -> psycopg.Connection:
    """Return a connection in autocommit off, prepared statements on.

    With `wait` tries for ever, a line in the log each few seconds; else raises psycopg.OperationalError.
    """
    pause_s, limit_ms = 0.1, int(settings.transaction_timeout_s * 1_000)
    while True:
        try:
            connection = psycopg.connect(
                settings.dsn,
                connect_timeout=settings.connect_timeout_s,
                application_name=application,
                prepare_threshold=0,
                options=f"-c synchronous_commit=on -c idle_in_transaction_session_timeout={limit_ms}",
            )
            if connection.info.server_version >= _HAS_TRANSACTION_TIMEOUT:
                # a client that froze in the middle of a pipeline does not count as idle
                connection.execute(f"SET transaction_timeout = {limit_ms:d}".encode(), prepare=False)
                connection.commit()
        except psycopg.OperationalError as error:
            if not wait:
                raise
            _log.warning("Postgres not reachable, trying again", error=str(error).strip().splitlines()[0])
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)
        else:
            return connection


@contextmanager
def faults() -> Iterator[None]:
    """Turn what psycopg raises into the fault it is, each of which ends the process.

    DependencyLost is also what a commit ends with whose answer did not come: whether it happened is
    unknown, and is not asked here. The next process finds the position moved, or not.
    """
    try:
        yield
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        raise InvariantBroken(f"Postgres refused a batch: {_line(error)}") from error
    except _LOST as error:
        raise DependencyLost(f"Postgres: {_line(error)}") from error


def _line(error: psycopg.Error) -> str:
    return " ".join(str(error).split())
