"""`tapehouse migrate`: bring the database's schema up to date. `tapehouse up` does so by itself.

Exit 0: it is up to date; 1: it is not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psycopg

from service_runtime.migrations import MigrationChanged
from service_runtime.migrations import migrate as apply
from service_runtime.settings import ServiceSettings
from tapehouse.errors import OperatorError

FOLDER: Final = Path(__file__).resolve().parent.parent / "recorder" / "migrations"


def migrate(dsn: str, folder: Path = FOLDER) -> list[str]:
    """Apply what is missing and return the names. Raises OperatorError."""
    try:
        return apply(dsn, folder)
    except (psycopg.Error, MigrationChanged) as error:
        raise OperatorError(f"the database schema cannot be brought up to date: {error}") from error


def command() -> None:
    """Apply the migrations that the database has not seen."""
    applied = migrate(ServiceSettings().postgres.dsn)
    print("\n".join(f"Applied {name}." for name in applied) or "The schema is up to date.")
