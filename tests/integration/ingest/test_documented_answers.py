"""What /openapi.json shows is true: each operation's example is sent, each answer is held to its schema."""

from __future__ import annotations

import pytest

from tests.integration.ingest.documented_requests import every_answer
from tests.integration.ingest.exchange import Exchange

pytestmark = pytest.mark.long


def test_every_documented_request_is_answered_as_documented(exchange: Exchange) -> None:
    answers = every_answer(exchange)
    assert answers["POST /api/v3/order"]["fills"][0]["price"] == "30000.00000000"
    assert answers["GET /api/v3/depth"]["bids"][0] == ["29000.00000000", "0.01000000"]
