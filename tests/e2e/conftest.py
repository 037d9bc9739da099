"""One exchange for the tests that only trade on it: `tapehouse up` on the run's servers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tapehouse.operator_client import OperatorClient, TradingAccount
from tests import scratch
from tests.e2e import live_exchange
from tests.e2e.live_exchange import LiveExchange, plain_environment, port_variables
from tests.e2e.machine import Machine, ok
from tests.services import ExchangePlace

LIMITS = '{"request_weight_1m":1000000,"raw_requests_5m":1000000,"orders_10s":100000}'


@dataclass(frozen=True)
class RunningExchange:
    live: LiveExchange

    def account(self, **funds: str) -> TradingAccount:
        """Open an account, fund it and make a key."""
        name, settings = f"trader-{secrets.token_hex(4)}", self.live.settings

        async def provided() -> TradingAccount:
            token = settings.secrets.operator_token_file
            async with OperatorClient.with_token_file(settings.admin_url, token) as operator:
                account = await operator.new_key(name, await operator.open_account(name))
                await operator.fund(account, funds, "start")
                return account

        return asyncio.run(provided())


@pytest.fixture(scope="package")
def running_exchange(exchange_place: ExchangePlace) -> Iterator[RunningExchange]:
    with (
        exchange_place() as place,
        live_exchange.running(
            TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS=place.kafka,
            TAPEHOUSE_POSTGRES__DSN=place.postgres,
            TAPEHOUSE_REDIS__URL=place.redis,
            TAPEHOUSE_LIMITS=LIMITS,
        ) as exchange,
    ):
        yield RunningExchange(exchange)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with scratch.folder("tapehouse-e2e-") as name:
        root = Path(name)
        root.chmod(0o711)  # PostgreSQL, which never runs as root, must pass
        data = root / "data"
        found = Machine(data, {**plain_environment(), **port_variables(), "TAPEHOUSE_DATA": str(data)})
        yield found
        if found.state() is not None:
            ok(found("down"))
