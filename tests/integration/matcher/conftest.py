"""One broker and one Redis for the matcher's processes: the names of topics and keys are fixed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tapehouse import topics
from tests.integration.matcher.exchange import Exchange, drop_topics
from tests.services import Services, embedded


@pytest.fixture(scope="package")
def services() -> Iterator[Services]:
    with embedded() as services:
        yield services


@pytest.fixture(scope="package")
def addresses(services: Services) -> tuple[str, str]:
    return services.kafka(), services.valkey()


@pytest.fixture
def exchange(addresses: tuple[str, str], tmp_path: Path) -> Iterator[Exchange]:
    """Empty topics and an empty Redis."""
    bootstrap, url = addresses
    drop_topics(bootstrap)
    topics.apply(bootstrap)
    with redis.Redis.from_url(url) as store:
        store.flushall()
    exchange = Exchange(bootstrap, url, tmp_path)
    yield exchange
    exchange.close()
