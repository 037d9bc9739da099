"""A short chaos run on an exchange of its own: kills of every sort lose nothing, and a loss is told."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import psycopg
import pytest

from tapehouse.chaos.arena import Arena
from tapehouse.chaos.command import exit_code
from tapehouse.chaos.fault import STORM, Fault
from tapehouse.chaos.field import Field
from tapehouse.chaos.run import ChaosRun, Wanted

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
PLANTED = Fault("planted", "a trade taken out of its table")


@pytest.fixture
async def chaos() -> AsyncIterator[ChaosRun]:
    arena = Arena.fresh()
    try:
        run = ChaosRun(arena, Wanted(seed=11, accounts=8, before_s=1.0, after_s=0.5), print)
        async with run.trading():
            yield run
    finally:
        await arena.stop()
        arena.remove()


async def test_kills_lose_nothing_and_a_planted_loss_is_told(chaos: ChaosRun) -> None:
    await chaos.round(STORM, random.Random(11), _kills)
    row = chaos.rows[STORM.name]
    assert (row.violations, row.lost, row.doubled) == ([], 0, 0)
    assert row.kills == 5
    assert len(row.recoveries_s) == 6  # of each kill, and after all of it
    assert exit_code(chaos) == 0

    await chaos.round(PLANTED, random.Random(11), _take_a_trade_away)
    assert any("I4" in violation for violation in chaos.rows[PLANTED.name].violations)
    assert exit_code(chaos) == 1


async def _kills(field: Field) -> None:
    """A server, three services, and one of them again at a place between its database and the log."""
    for name in ("postgres", "matcher-0", "recorder-0"):
        assert await field.kill(name)
        await field.recovered()
    assert await field.die_at("processor", "processor.after_commit:1", most_s=60.0)
    await field.recovered()
    field.struck("after all of it")
    await field.recovered()


async def _take_a_trade_away(field: Field) -> None:
    with psycopg.connect(field.arena.settings.postgres.dsn, connect_timeout=5) as connection:
        gone = connection.execute("DELETE FROM trades WHERE symbol = 'BTCUSDT' AND trade_id = 1").rowcount
    assert gone == 1
