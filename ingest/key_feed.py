"""Keeps the worker's API keys fresh: one small query every half second, a sign of life of Postgres too."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import structlog

from ingest.api_keys import ApiKey, InvalidPublicKey, KeyStore, Network, hmac_verifier, public_key_verifier
from ingest.dependencies import Dependencies
from ingest.sealed_secrets import CannotUnseal, SecretBox
from service_runtime.settings import PostgresSettings

_log = structlog.get_logger("key_feed")
_OVERLAP = timedelta(seconds=5)
"""Rows become visible at commit, later than their changed_at: so each look goes back a little."""
_TIMEOUT_S = 2.0
_CHANGED = """
SELECT k.api_key, k.account_id, k.kind, k.secret, k.can_read, k.can_trade, k.expires_at_ns,
       k.revoked_at_ns IS NOT NULL, a.maker_fee_ppm, a.taker_fee_ppm, k.changed_at, k.can_withdraw,
       k.allowed_networks
  FROM api_keys k JOIN accounts a USING (account_id) WHERE k.changed_at > %s
"""


class KeyFeed:
    def __init__(
        self,
        settings: PostgresSettings,
        keys: KeyStore,
        box: SecretBox,
        dependencies: Dependencies,
        interval_s: float,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._box = box
        self._dependencies = dependencies
        self._interval_s = interval_s
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._since = datetime.fromtimestamp(0, UTC)
        self._known: dict[str, datetime] = {}
        """Keys taken lately, with their changed_at, so that the overlap costs nothing."""
        self._wake = asyncio.Event()

    def look_now(self) -> None:
        """Skip the pause: something has just changed."""
        self._wake.set()

    async def run(self) -> None:
        """Refresh until canceled; a database that is away is reported and asked again."""
        try:
            while True:
                try:
                    async with asyncio.timeout(_TIMEOUT_S):
                        await self.refresh()
                    self._dependencies.postgres(away=False)
                except (psycopg.Error, OSError, TimeoutError) as error:
                    lines = str(error).strip().splitlines()
                    self._dependencies.postgres(away=True, why=lines[0] if lines else type(error).__name__)
                    await self._disconnect()
                await self._pause()
        finally:
            await self._disconnect()

    async def refresh(self) -> None:
        connection = self._connection
        if connection is None:
            connection = self._connection = await psycopg.AsyncConnection.connect(
                self._settings.dsn,
                autocommit=True,
                connect_timeout=self._settings.connect_timeout_s,
                application_name="ingest-keys",
            )
        async with connection.pipeline():
            clock = await connection.execute("SELECT clock_timestamp()")
            changed = await connection.execute(_CHANGED, (self._since,))
        row = await clock.fetchone()
        assert row is not None
        for found in await changed.fetchall():
            self._take(*found)
        self._keys.whole = True
        self._since = row[0] - _OVERLAP
        self._known = {name: at for name, at in self._known.items() if at > self._since}

    def _take(
        self,
        api_key: str,
        account_id: int,
        kind: str,
        secret: bytes,
        can_read: bool,
        can_trade: bool,
        expires_at_ns: int | None,
        revoked: bool,
        maker_fee_ppm: int,
        taker_fee_ppm: int,
        changed_at: datetime,
        can_withdraw: bool,
        allowed_networks: list[Network],
    ) -> None:
        if self._known.get(api_key) == changed_at:
            return
        self._known[api_key] = changed_at
        if revoked:
            self._keys.drop([api_key])
            return
        try:
            verify = (
                hmac_verifier(self._box.unseal(api_key, bytes(secret)))
                if kind == "HMAC"
                else public_key_verifier(bytes(secret))
            )
        except (CannotUnseal, InvalidPublicKey) as error:
            _log.error("API key not usable", error=str(error), account_id=account_id)
            return
        self._keys.put(
            [
                ApiKey(
                    api_key=api_key,
                    account_id=account_id,
                    verify=verify,
                    can_read=can_read,
                    can_trade=can_trade,
                    maker_fee_ppm=maker_fee_ppm,
                    taker_fee_ppm=taker_fee_ppm,
                    expires_at_ns=expires_at_ns,
                    can_withdraw=can_withdraw,
                    networks=tuple(allowed_networks),
                )
            ]
        )

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._interval_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
