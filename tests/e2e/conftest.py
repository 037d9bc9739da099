"""One exchange for the tests that only trade on it: `tapehouse up`, once a session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e import live_exchange
from tests.e2e.live_exchange import LiveExchange

LIMITS = '{"request_weight_1m":1000000,"raw_requests_5m":1000000,"orders_10s":100000}'


@dataclass(frozen=True)
class Account:
    account_id: int
    api_key: str
    secret: str


@dataclass(frozen=True)
class RunningExchange:
    live: LiveExchange

    def account(self, **funds: str) -> Account:
        """Open an account, fund it and make a key, as the operator does."""
        account_id = int(self._asked("create", "test")["account_id"])
        for asset, amount in funds.items():
            self._asked("deposit", str(account_id), asset, amount)
        key = self._asked("api-key", str(account_id))
        return Account(account_id, key["api_key"], key["secret"])

    def _asked(self, *words: str) -> Any:
        done = self.live.command("account", *words, "--json", timeout_s=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def running_exchange() -> Iterator[RunningExchange]:
    with live_exchange.running(TAPEHOUSE_LIMITS=LIMITS) as exchange:
        yield RunningExchange(exchange)
