"""Matcher processes on the run's servers, each test with empty topics and an empty Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tapehouse import topics
from tests.integration.matcher.exchange import Exchange
from tests.services import ExchangePlace, Place


@pytest.fixture
def place(exchange_place: ExchangePlace) -> Iterator[Place]:
    with exchange_place() as place:
        yield place


@pytest.fixture
def exchange(place: Place, tmp_path: Path) -> Iterator[Exchange]:
    topics.apply(place.kafka)
    exchange = Exchange(place.kafka, place.redis, tmp_path)
    yield exchange
    exchange.close()
