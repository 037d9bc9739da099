"""The demo's accounts: opened and funded once, their keys kept in a private file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import msgspec

from tapehouse.demo.settings import DemoSettings
from tapehouse.operator_client import OperatorClient, TradingAccount
from tapehouse.public_client import PublicClient, Refused

PEOPLE = ("demo-alice", "demo-bob")
PEOPLE_FUNDS = {"USDT": "100000", "BTC": "2", "ETH": "50", "SOL": "500"}
FLEET_FUNDS = {"USDT": "50000000", "BTC": "1000", "ETH": "30000", "SOL": "200000"}


async def provide(
    settings: DemoSettings, wanted: Mapping[str, Mapping[str, str]], *, keep: bool = True
) -> dict[str, TradingAccount]:
    """Return an account with a working key for each name, funded as wanted; the same at every call.

    Without `keep` the keys are not written to the file: for accounts that serve once.
    """
    kept = read(settings.accounts_file)
    found = {}
    async with OperatorClient.with_token_file(
        settings.admin_url, settings.secrets.operator_token_file
    ) as operator:
        known = await operator.account_ids()
        for name, funds in wanted.items():
            account = kept.get(name)
            if account is None or not await _works(settings.api_url, account):
                account_id = known.get(name) or await operator.open_account(name)
                account = await operator.new_key(name, account_id)
                if keep:
                    kept[name] = account
                    write(settings.accounts_file, list(kept.values()))
            await operator.fund(account, funds, "demo")
            found[name] = account
    return found


def read(path: Path) -> dict[str, TradingAccount]:
    """Return what was kept; nothing when there is no file, or none that can be read."""
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=list[TradingAccount])
    except (OSError, msgspec.DecodeError):
        return {}
    return {account.name: account for account in kept}


def write(path: Path, accounts: Sequence[TradingAccount]) -> None:
    """Replace the file whole; only its owner can read it."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(list(accounts)), indent=1))
    fresh.replace(path)


async def _works(api_url: str, account: TradingAccount) -> bool:
    """False when the exchange does not know the key: it was reset, or it is another one."""
    async with PublicClient(api_url, account.api_key, account.secret) as client:
        try:
            found = await client.signed("GET", "/api/v3/account")
        except (Refused, httpx.TransportError):
            return False
    return bool(found["uid"] == account.account_id)
