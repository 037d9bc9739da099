"""A client of the admin API: accounts, funds and keys for tools that need some."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from tapehouse.errors import OperatorError


@dataclass(frozen=True)
class TradingAccount:
    """An account and a key that may trade for it."""

    name: str
    account_id: int
    api_key: str
    secret: str


class OperatorClient:
    """Raises OperatorError for every refusal and when nobody answers."""

    def __init__(self, base_url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=15.0, trust_env=False)

    @classmethod
    def with_token_file(cls, base_url: str, path: Path) -> OperatorClient:
        try:
            return cls(base_url, path.read_text().strip())
        except OSError as error:
            raise OperatorError(f"the operator's token {path} cannot be read: {error.strerror}") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def account_ids(self) -> dict[str, int]:
        """Return the newest account of each name."""
        return {row["name"]: row["account_id"] for row in await self._ask("GET", "/admin/v1/accounts")}

    async def open_account(self, name: str) -> int:
        account = await self._ask("POST", "/admin/v1/accounts", {"name": name})
        return int(account["account_id"])

    async def new_key(self, name: str, account_id: int) -> TradingAccount:
        key = await self._ask("POST", f"/admin/v1/accounts/{account_id}/api-keys", {"label": name})
        return TradingAccount(name, account_id, key["api_key"], key["secret"])

    async def fund(self, account: TradingAccount, funds: Mapping[str, str], occasion: str) -> None:
        """Deposit each asset's amount, once for each occasion."""
        for asset, amount in funds.items():
            deposit_id = f"{occasion}-{account.account_id}-{asset}"
            body = {"asset": asset, "amount": amount, "deposit_id": deposit_id}
            await self._ask("POST", f"/admin/v1/accounts/{account.account_id}/deposits", body)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            response = await self._client.request(method, path, json=body)
        except httpx.TransportError as error:
            address = self._client.base_url
            raise OperatorError(f"the admin API at {address} does not answer: {error}") from error
        if not response.is_success:
            raise OperatorError(f"{method} {path}: {response.status_code} {response.text[:300]}")
        return response.json()
