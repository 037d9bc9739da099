"""A session of ours on a real server."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from service_runtime.errors import DependencyLost
from service_runtime.postgres import connect, faults
from service_runtime.settings import PostgresSettings


@pytest.mark.parametrize("synced", [True, False], ids=["between statements", "within a pipeline"])
def test_what_a_frozen_process_locked_is_free_again(fresh_database: Callable[[], str], synced: bool) -> None:
    settings = PostgresSettings(dsn=fresh_database(), transaction_timeout_s=0.5)
    with connect(settings, "owner") as owner:
        owner.execute("CREATE TABLE wallets (account_id bigint PRIMARY KEY)")
        owner.execute("INSERT INTO wallets VALUES (1)")
        owner.commit()
    lock = "SELECT account_id FROM wallets WHERE account_id = 1 FOR UPDATE"
    frozen = connect(settings, "frozen")
    pipeline = frozen.pipeline()
    if not synced:
        pipeline.__enter__()
    frozen.execute(lock)
    if not synced:
        frozen.pgconn.send_flush_request()
        while frozen.pgconn.flush():
            pass
    with psycopg.connect(settings.dsn) as other:
        other.execute("SET lock_timeout = '60s'")
        assert other.execute(lock).fetchone() == (1,)

    def go_on() -> None:
        with faults():
            frozen.execute(lock).fetchone()
            frozen.commit()

    with pytest.raises(DependencyLost):
        go_on()
    frozen.close()
