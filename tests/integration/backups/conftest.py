from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.integration import ledger_world


@pytest.fixture
def world(fresh_database: Callable[[], str], redis_url: str) -> Iterator[ledger_world.World]:
    with ledger_world.world(fresh_database, redis_url) as made:
        yield made
