"""A short run of tools/fuzz_api.py, with one seed; the long one is `python -m tools.fuzz_api`."""

from __future__ import annotations

import pytest

from tests.integration.ingest.exchange import Exchange
from tools.fuzz_api import Fuzzer, Target

pytestmark = pytest.mark.long
REQUESTS = 400
SECONDS = 60.0
"""Enough for a slow machine, too; a quick one has sent them all in a few."""


@pytest.mark.filterwarnings("ignore")
def test_generated_requests_are_answered_as_documented(exchange: Exchange) -> None:
    token = (exchange.folder / "operator-token").read_text()
    target = Target(exchange.base, exchange.admin, token, exchange.http, "fuzzer")
    target.prepare()
    report = Fuzzer(target, seed=20_260_801, mixed=9).run(REQUESTS, SECONDS)
    assert not report.findings, "\n".join(report.lines())
    assert report.done  # some of it was right
