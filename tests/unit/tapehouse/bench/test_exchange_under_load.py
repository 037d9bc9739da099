"""What a benchmark leaves behind."""

from __future__ import annotations

from types import TracebackType
from typing import Any, ClassVar

import pytest

from tapehouse.bench import exchange_under_load
from tapehouse.demo.settings import DemoSettings
from tapehouse.operator_client import TradingAccount
from tapehouse.public_client import Refused

ACCOUNTS = [TradingAccount(f"bench-{number}", number, "key", "secret") for number in (1001, 1002)]


class Client:
    """An account with an order on each of two markets, which answers cancels as told."""

    canceled: ClassVar[list[str]] = []
    refusal: ClassVar[Refused | None] = None

    def __init__(self, *_: str) -> None: ...

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def signed(self, method: str, path: str, **parameters: str) -> Any:
        if method == "GET":
            return [{"symbol": "BTCUSDT"}, {"symbol": "SOLUSDT"}]
        self.canceled.append(parameters["symbol"])
        if self.refusal is not None:
            raise self.refusal
        return []


@pytest.mark.parametrize("code", [None, -2011, -1008])
async def test_an_order_that_ended_meanwhile_needs_no_cancel(
    code: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_under_load, "PublicClient", Client)
    monkeypatch.setattr(Client, "canceled", [])
    monkeypatch.setattr(Client, "refusal", None if code is None else Refused(400, code, "no", "DELETE"))
    cleaning = exchange_under_load.cancel_all(DemoSettings(), ACCOUNTS, ["BTCUSDT", "ETHUSDT"])
    if code == -1008:
        with pytest.raises(Refused):
            await cleaning
    else:
        await cleaning
        assert Client.canceled == ["BTCUSDT", "BTCUSDT"]
