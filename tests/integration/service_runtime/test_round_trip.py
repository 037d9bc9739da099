"""Statements that leave together, on a real server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from service_runtime.postgres import connect
from service_runtime.round_trip import Call, Done, RoundTrips
from service_runtime.settings import PostgresSettings
from service_runtime.sql_arrays import byteas, ints, texts

INSERT = "INSERT INTO things (id, name) SELECT * FROM unnest(%s::bigint[], %s::text[])"
ALL = "SELECT id, name FROM things ORDER BY id"


@pytest.fixture
def connection(fresh_database: Callable[[], str]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(fresh_database()) as connection:
        connection.execute("CREATE TABLE things (id bigint PRIMARY KEY, name text)")
        connection.commit()
        yield connection


def things(*names: str) -> Call:
    return Call(INSERT, (ints(range(len(names))), texts(names)))


def state(connection: psycopg.Connection) -> TransactionStatus:
    return connection.info.transaction_status


def test_each_call_has_its_answer_within_one_transaction(connection: psycopg.Connection) -> None:
    trips = RoundTrips(connection)
    inserted, odd, moved = trips.run(
        [
            things("a", "b", "c"),
            Call("SELECT id, name, id %% 2 = 1, NULL FROM things WHERE id %% 2 = %s::bigint", ("1",)),
            Call("UPDATE things SET name = %s WHERE id > %s", ("z", "0")),
        ]
    )
    assert (inserted, moved) == (Done([], 3), Done([], 2))
    assert odd == Done([(1, "b", True, None)], 1)
    assert state(connection) is TransactionStatus.INTRANS
    assert trips.run([Call(ALL)], commit=True) == [Done([(0, "a"), (1, "z"), (2, "z")], 3)]
    assert state(connection) is TransactionStatus.IDLE
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM things").fetchone() == (3,)


def test_of_a_failed_trip_nothing_stays_and_the_first_failure_is_told(connection: psycopg.Connection) -> None:
    trips = RoundTrips(connection)
    twice = Call(INSERT, (ints([7, 7]), texts(["a", "b"])))
    with pytest.raises(psycopg.errors.UniqueViolation, match="things_pkey"):
        trips.run([things("a"), twice, Call("SELECT 1 / 0"), Call(ALL)], commit=True)
    assert state(connection) is TransactionStatus.INERROR
    connection.rollback()
    assert trips.run([Call(ALL), things("b"), Call(ALL)], commit=True)[2].rows == [(0, "b")]


def test_a_statement_is_prepared_once(connection: psycopg.Connection) -> None:
    trips = RoundTrips(connection)
    for name in ("a", "b", "c"):
        trips.run([Call("SELECT %s::text || %s", (name, "%"))], commit=True)
    rows = connection.execute("SELECT statement FROM pg_prepared_statements ORDER BY name").fetchall()
    assert [row[0] for row in rows if "||" in row[0]] == ["SELECT $1::text || $2"]


def test_statements_outlive_a_rollback_by_psycopg(fresh_database: Callable[[], str]) -> None:
    with connect(PostgresSettings(dsn=fresh_database()), "test") as connection:
        trips = RoundTrips(connection)
        for _ in range(3):
            assert trips.run([Call("SELECT %s::int", ("1",))])[0].rows == [(1,)]
            assert connection.execute("SELECT %s::int", (2,)).fetchone() == (2,)
            connection.rollback()


def test_binary_arrays_arrive_as_they_are(connection: psycopg.Connection) -> None:
    trips = RoundTrips(connection)
    for values in ([b"\x00\xff", b"", b'"\\{'], []):
        (found,) = trips.run([Call("SELECT * FROM unnest(%s::bytea[])", (byteas(values),))], commit=True)
        assert [row[0] for row in found.rows] == values


def test_much_both_ways_does_not_stand_in_its_own_way(connection: psycopg.Connection) -> None:
    text = "x" * 8_000_000
    calls = [Call("SELECT %s::text", (text,))] * 4
    done = RoundTrips(connection).run(calls, commit=True)
    assert [len(one.rows[0][0]) for one in done] == [len(text)] * 4


def test_a_lost_server_is_an_operational_error(
    connection: psycopg.Connection, fresh_database: Callable[[], str]
) -> None:
    trips = RoundTrips(connection)
    with pytest.raises(psycopg.OperationalError, match="terminating connection"):
        trips.run([Call("SELECT pg_terminate_backend(pg_backend_pid())"), Call(ALL)])
    with pytest.raises(psycopg.OperationalError):
        trips.run([Call(ALL)])


def test_all_calls_leave_in_one_write(connection: psycopg.Connection) -> None:
    with watched(connection.info.dsn, connection.info.password) as (through, writes):
        trips = RoundTrips(through)
        trips.run([things("a"), Call(ALL)], commit=True)
        writes.clear()
        trips.run([Call(ALL), Call("UPDATE things SET name = 'b'"), Call(ALL)], commit=True)
        assert len(writes) == 1


@contextmanager
def watched(dsn: str, password: str) -> Iterator[tuple[psycopg.Connection, list[bytes]]]:
    """A connection through a forwarder, and what it reads from the client at once."""
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    target = str(parts.get("host", "127.0.0.1")), int(str(parts["port"]))
    writes: list[bytes] = []

    def copy(source: socket.socket, sink: socket.socket, seen: list[bytes] | None) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 20):
                if seen is not None:
                    seen.append(piece)
                sink.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(target) as server:

        def accept() -> None:
            client, _ = listener.accept()
            with client:
                threading.Thread(target=copy, args=(server, client, None), daemon=True).start()
                copy(client, server, writes)

        threading.Thread(target=accept, daemon=True).start()
        own = {**parts, "host": "127.0.0.1", "port": str(listener.getsockname()[1]), "password": password}
        with psycopg.connect(**own) as through:
            yield through, writes
