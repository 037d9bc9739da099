"""One exchange for the tests that only trade on it: `tapehouse up`, once a session."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e import live_exchange
from tests.e2e.live_exchange import LiveExchange

LIMITS = '{"request_weight_1m":1000000,"raw_requests_5m":1000000,"orders_10s":100000}'


@dataclass(frozen=True)
class Account:
    account_id: int
    name: str
    api_key: str
    secret: str


@dataclass(frozen=True)
class RunningExchange:
    live: LiveExchange

    def account(self, **funds: str) -> Account:
        """Open an account, fund it and make a key, as the operator does."""
        name = f"trader-{secrets.token_hex(4)}"
        account_id = int(self.live.answer("account", "create", name)["account_id"])
        for asset, amount in funds.items():
            self.live.answer("account", "deposit", name, asset, amount)
        key = self.live.answer("account", "api-key", name)
        return Account(account_id, name, key["api_key"], key["secret_key"])


@pytest.fixture(scope="session")
def running_exchange() -> Iterator[RunningExchange]:
    with live_exchange.running(TAPEHOUSE_LIMITS=LIMITS) as exchange:
        yield RunningExchange(exchange)
