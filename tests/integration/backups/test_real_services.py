"""F16 with a real broker and the services as processes: back up, trade on, put back, go on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from schemas.orders import Side
from tapehouse.audit.audit import Options, audit
from tapehouse.audit.rebuild import rebuild
from tapehouse.backups.backup import backup
from tapehouse.backups.restore import restore
from tests.builders import ALICE, BOB, place_order
from tests.integration.ledger.test_kills import TOPICS, Exchange, exchange, funded

pytestmark = pytest.mark.long

__all__ = ["exchange", "funded"]
SERVICES = ("processor", "matcher", "recorder")
SETTLED = "SELECT sequence FROM settled WHERE symbol = 'BTCUSDT'"
TABLES = ("orders", "trades", "ledger", "wallets", "rejections")
RUNNING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


def _trade(exchange: Exchange, rnd: random.Random, name: str) -> None:
    """Send orders, and wait until all that became of them is in the database."""
    for service in SERVICES:
        exchange.start(service)
    for n in range(60):
        exchange.place(
            place_order(
                account_id=rnd.choice((ALICE, BOB)),
                side=rnd.choice((Side.BUY, Side.SELL)),
                client_order_id=f"{name}-{n}",
                price_ticks=3_000_000 + rnd.randint(-20, 20),
                quantity_lots=rnd.randint(1, 50),
            )
        )
    exchange.log.flush()
    exchange.wait_for(
        f"the orders of {name}",
        lambda: (
            exchange.rows(f"SELECT count(*) FROM orders WHERE client_order_id LIKE '{name}-%'") == [(60,)]
        ),
    )
    exchange.wait_for(
        f"the settlement of {name}",
        lambda: exchange.rows(SETTLED) == exchange.rows("SELECT count(*) FROM orders"),
    )
    report = audit(exchange.settings, exchange.log, Options(60))
    assert report.difference is None
    exchange.stop()
    exchange.wait_for("the end of all sessions", lambda: exchange.rows(RUNNING) == [(0,)])


@pytest.mark.timeout(240)
def test_a_restored_backup_rolls_forward_to_the_equal_state(exchange: Exchange, tmp_path: Path) -> None:
    rnd = random.Random(16)
    _trade(exchange, rnd, "before")
    backup(exchange.settings.postgres.dsn, exchange.log, TOPICS, tmp_path / "backup")
    _trade(exchange, rnd, "after")
    expected = {table: exchange.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4") for table in TABLES}

    done = restore(exchange.settings, exchange.log, tmp_path / "backup")

    assert done.records > 60
    assert {t: exchange.rows(f"SELECT * FROM {t} ORDER BY 1, 2, 3, 4") for t in TABLES} == expected
    _trade(exchange, rnd, "again")
    assert rebuild(exchange.settings, exchange.log, 60).difference is None
