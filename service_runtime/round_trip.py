"""Several statements to Postgres in one write and one answer.

psycopg's own pipeline writes each statement as it is executed, so that the server wakes for each, and looks
at the socket twice for it: of a batch of seven that was most of what the client paid (docs/performance.md).
"""

from __future__ import annotations

import re
import select
from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import Format

_FAILED: Final = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED)
_PLACEHOLDER = re.compile(r"%[sb%]")

Parameter = str | bytes
"""A value in Postgres's text form, or, as bytes, in its binary form."""


class Call(NamedTuple):
    """A statement with `%s` where a parameter goes, and a cast wherever the server cannot know its type."""

    statement: str
    parameters: Sequence[Parameter] = ()


class Done(NamedTuple):
    rows: list[tuple[Any, ...]]
    affected: int
    """Rows that were returned or changed."""


_BEGIN, _COMMIT = Call("BEGIN"), Call("COMMIT")


class RoundTrips:
    """Of one connection, which psycopg may use between them. Statements are prepared at their first use.

    The connection must be new: psycopg prepares nothing on it from then on, for with a rollback it would drop
    what it prepared, and every other prepared statement too.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        connection.prepare_threshold = None
        self._pgconn = connection.pgconn
        self._rows = Transformer(connection)
        self._names: dict[str, bytes] = {}
        self._numbers = count(1)
        self._socket = select.poll()

    def run(self, calls: Sequence[Call], *, commit: bool = False) -> list[Done]:
        """Run the calls in their order, in the open transaction or a new one; return what each did.

        Raises psycopg.Error: of the first call that failed, after which none ran and nothing is committed.
        """
        if self._pgconn.transaction_status == pq.TransactionStatus.IDLE:
            return self._exchange([_BEGIN, *calls], commit)[1:]
        return self._exchange(calls, commit)

    def _exchange(self, calls: Sequence[Call], commit: bool) -> list[Done]:
        self._pgconn.enter_pipeline_mode()
        kept: list[bool] = []
        for call in [*calls, _COMMIT] if commit else calls:
            self._enqueue(call, kept)
        self._pgconn.pipeline_sync()
        self._write()
        found = self._results(kept)
        self._pgconn.exit_pipeline_mode()
        return found[: len(calls)]

    def _enqueue(self, call: Call, kept: list[bool]) -> None:
        """Hand a call to libpq; tell of each answer that will come whether it is the call's."""
        name = self._names.get(call.statement)
        if name is None:
            name = self._names[call.statement] = b"trip_%d" % next(self._numbers)
            self._pgconn.send_prepare(name, _numbered(call.statement))
            kept.append(False)
        values = [p if isinstance(p, bytes) else p.encode() for p in call.parameters]
        formats = [Format.BINARY if isinstance(p, bytes) else Format.TEXT for p in call.parameters]
        self._pgconn.send_query_prepared(name, values, formats)
        kept.append(True)

    def _write(self) -> None:
        """Write all, and read what comes meanwhile: a server whose answers nobody takes reads no more."""
        while self._pgconn.flush():
            if self._wait(select.POLLIN | select.POLLOUT) & ~select.POLLOUT:
                self._pgconn.consume_input()

    def _results(self, kept: Sequence[bool]) -> list[Done]:
        """Read until the end of the trip; raise what failed first."""
        found, places = list[Done](), iter(kept)
        failed: psycopg.Error | None = None
        while True:
            try:
                while self._pgconn.is_busy():
                    self._wait(select.POLLIN)
                    self._pgconn.consume_input()
            except psycopg.OperationalError as lost:
                raise failed or lost from None
            result = self._pgconn.get_result()
            if result is None:
                continue  # the end of one statement
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                break
            is_kept = next(places)
            if result.status in _FAILED:
                failed = failed or error_from_result(result)
            elif is_kept:
                found.append(self._done(result))
        if failed is not None:
            self._names.clear()  # what came after it was not prepared
            self._pgconn.exit_pipeline_mode()
            raise failed
        return found

    def _done(self, result: pq.abc.PGresult) -> Done:
        rows: list[tuple[Any, ...]] = []
        if result.status == pq.ExecStatus.TUPLES_OK:
            self._rows.set_pgresult(result)
            rows = self._rows.load_rows(0, result.ntuples, tuple)
        return Done(rows, result.command_tuples or 0)

    def _wait(self, events: int) -> int:
        self._socket.register(self._pgconn.socket, events)
        return self._socket.poll()[0][1]


@cache
def _numbered(statement: str) -> bytes:
    """Return the statement with the server's own placeholders: $1, $2, ..."""
    numbers = count(1)
    return _PLACEHOLDER.sub(
        lambda found: "%" if found[0] == "%%" else f"${next(numbers)}", statement
    ).encode()
