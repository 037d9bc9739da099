from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.ingest.exchange import Exchange, running
from tests.services import ExchangePlace


@pytest.fixture(scope="package")
def exchange(exchange_place: ExchangePlace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """Shared by the tests of ingest: each takes accounts of its own."""
    with running(tmp_path_factory.mktemp("exchange"), exchange_place) as started:
        yield started


@pytest.fixture(autouse=True)
def no_order_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """One test's resting orders are not met by the next, in whatever order they run."""
    yield
    if "exchange" in request.fixturenames:
        request.getfixturevalue("exchange").clear_books()
