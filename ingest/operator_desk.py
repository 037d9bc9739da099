"""What the operator does with accounts: open and fund.

Both are events in the log; the answer waits, bounded, until the recorder has applied them.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from ingest.command_log import LogWriter
from ingest.database import Database
from ingest.management_refusal import ManagementRefusal
from schemas.accounts import FIRST_CLIENT_ACCOUNT, OUTSIDE_ACCOUNT
from schemas.codec import encode
from schemas.events import AccountOpened, FundsDeposited
from schemas.instruments import Instruments
from schemas.money import MAX_AMOUNT, InvalidDecimal
from schemas.topics import ACCOUNT_EVENTS, TopicMap

T = TypeVar("T")
_APPLY_TIMEOUT_S: Final = 10.0
_PAUSE_S: Final = 0.01


class Balance(Struct, frozen=True):
    asset: str
    available: str
    locked: str


class Account(Struct, frozen=True):
    account_id: int
    name: str
    status: str
    maker_fee_ppm: int
    taker_fee_ppm: int
    opened_at_ns: int
    balances: list[Balance] = []


class OperatorDesk:
    def __init__(
        self,
        database: Database,
        writer: LogWriter,
        topics: TopicMap,
        instruments: Instruments,
        now_ns: Callable[[], int],
    ) -> None:
        self._rows = database.rows
        self._writer = writer
        self._topics = topics
        self._instruments = instruments
        self._now_ns = now_ns

    async def open_account(
        self, name: str, maker_fee_ppm: int | None = None, taker_fee_ppm: int | None = None
    ) -> Account:
        """Open an account and return it once it can be used."""
        ((account_id,),) = await self._rows("SELECT nextval('account_ids')")
        event_id = f"account-{account_id}"
        self._append(
            account_id,
            AccountOpened(
                event_id=event_id,
                correlation_id=event_id,
                causation_id=event_id,
                occurred_at_ns=self._now_ns(),
                account_id=account_id,
                name=name,
                maker_fee_ppm=self._instruments.maker_fee_ppm if maker_fee_ppm is None else maker_fee_ppm,
                taker_fee_ppm=self._instruments.taker_fee_ppm if taker_fee_ppm is None else taker_fee_ppm,
            ),
        )

        async def opened() -> Account | None:
            found = await self._accounts("WHERE account_id = %(account)s", {"account": account_id})
            return found[0] if found else None

        return await self._when_applied(opened, f"account {account_id}")

    async def accounts(self) -> list[Account]:
        """Return the clients' accounts, oldest first, without balances."""
        return await self._accounts("WHERE account_id >= %(first)s", {"first": FIRST_CLIENT_ACCOUNT})

    async def account(self, account_id: int) -> Account:
        found = await self._accounts("WHERE account_id = %(account)s", {"account": account_id})
        if not found:
            raise ManagementRefusal(404, "unknown_account", f"there is no account {account_id}")
        rows = await self._rows(
            "SELECT asset, available, locked FROM wallets WHERE account_id = %(account)s ORDER BY asset",
            {"account": account_id},
        )
        assets = self._instruments.assets
        balances = [
            Balance(asset, assets[asset].text(available), assets[asset].text(locked))
            for asset, available, locked in rows
            if asset in assets
        ]
        account = found[0]
        return msgspec.structs.replace(account, balances=balances)

    async def deposit(
        self, account_id: int, asset: str, amount: str, deposit_id: str | None
    ) -> dict[str, Any]:
        """Fund an account, once per deposit id: the same deposit again is answered with what it did."""
        await self.require_account(account_id)
        amount_minor = self._amount(asset, amount)
        deposit_id = deposit_id or f"deposit-{secrets.token_hex(12)}"
        known = await self._deposited(deposit_id)
        if known is None:
            await self._require_room(asset, amount_minor)
            self._append(
                account_id,
                FundsDeposited(
                    event_id=deposit_id,
                    correlation_id=deposit_id,
                    causation_id=deposit_id,
                    occurred_at_ns=self._now_ns(),
                    account_id=account_id,
                    asset=asset,
                    amount_minor=amount_minor,
                    deposit_id=deposit_id,
                ),
            )
            known = await self._when_applied(lambda: self._deposited(deposit_id), f"deposit {deposit_id}")
        if known != (account_id, asset, amount_minor):
            raise ManagementRefusal(409, "deposit_id_reused", f"{deposit_id} is another deposit's id")
        return {
            "deposit_id": deposit_id,
            "account_id": account_id,
            "asset": asset,
            "amount": self._instruments.assets[asset].text(amount_minor),
        }

    async def _require_room(self, asset: str, amount_minor: int) -> None:
        """Raise ManagementRefusal (422) when all deposits would not fit 63 bits: the recorder takes none."""
        rows = await self._rows(
            "SELECT available FROM wallets WHERE account_id = %(account)s AND asset = %(asset)s",
            {"account": OUTSIDE_ACCOUNT, "asset": asset},
        )
        here = -rows[0][0] if rows else 0
        if here + amount_minor > MAX_AMOUNT:
            most = self._instruments.assets[asset].text(MAX_AMOUNT - here)
            raise ManagementRefusal(
                422, "invalid_amount", f"all {asset} of the exchange must fit 63 bits: {most} more at most"
            )

    async def require_account(self, account_id: int) -> None:
        """Raise ManagementRefusal (404) unless it is a client's account."""
        if account_id < FIRST_CLIENT_ACCOUNT or not await self._accounts(
            "WHERE account_id = %(account)s", {"account": account_id}
        ):
            raise ManagementRefusal(404, "unknown_account", f"there is no account {account_id}")

    def _amount(self, asset: str, amount: str) -> int:
        known = self._instruments.assets.get(asset)
        if known is None:
            names = ", ".join(self._instruments.assets)
            raise ManagementRefusal(422, "unknown_asset", f"there is no asset {asset[:20]!r}, only {names}")
        try:
            amount_minor = known.parse(amount)
        except InvalidDecimal:
            raise ManagementRefusal(
                422, "invalid_amount", f"the amount must be a plain decimal of at most {known.scale} places"
            ) from None
        if not 0 < amount_minor <= MAX_AMOUNT:
            raise ManagementRefusal(422, "invalid_amount", "the amount must be positive and fit 63 bits")
        return amount_minor

    async def _deposited(self, deposit_id: str) -> tuple[int, str, int] | None:
        rows = await self._rows(
            "SELECT account_id, asset, amount_minor FROM deposits WHERE deposit_id = %(id)s",
            {"id": deposit_id},
        )
        return rows[0] if rows else None

    async def _accounts(self, condition: str, values: Mapping[str, Any]) -> list[Account]:
        rows = await self._rows(
            "SELECT account_id, name, status, maker_fee_ppm, taker_fee_ppm, opened_at_ns FROM accounts"
            f" {condition} ORDER BY account_id",
            values,
        )
        return [Account(*row) for row in rows]

    def _append(self, account_id: int, event: AccountOpened | FundsDeposited) -> None:
        partition = self._topics.partition_of_account(account_id, ACCOUNT_EVENTS)
        self._writer.append(ACCOUNT_EVENTS, partition, encode(event), str(account_id).encode())

    async def _when_applied(self, look: Callable[[], Awaitable[T | None]], what: str) -> T:
        deadline = asyncio.get_running_loop().time() + _APPLY_TIMEOUT_S
        while True:
            found = await look()
            if found is not None:
                return found
            if asyncio.get_running_loop().time() >= deadline:
                raise ManagementRefusal(
                    504, "not_yet_applied", f"{what} is in the log, but the recorder has not applied it yet"
                )
            await asyncio.sleep(_PAUSE_S)
