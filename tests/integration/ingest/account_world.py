"""`/account/v1` behind the edge, on real Postgres and Redis; accounts open without a recorder."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from ingest.accounts.service import AccountService
from ingest.database import Database
from ingest.edge import Edge
from ingest.key_desk import KeyDesk
from ingest.operator_desk import Account
from ingest.rate_limits import RateLimits
from ingest.sealed_secrets import SecretBox, token_secrets
from ingest.settings import AccountOptions, IngestSettings, LimitSettings, SecretSettings
from ingest.shared_limits import SharedLimits
from service_runtime.settings import PostgresSettings, RedisSettings

MASTER = "m" * 64
TOKEN_KEY = "t" * 64
PASSWORD = "correct horse battery staple"
_logins = count(1)


@dataclass
class World:
    settings: IngestSettings
    edge: Edge
    database: Database
    skew_ns: int = 0
    """How far the service's clock is ahead."""

    def now_ns(self) -> int:
        return time.time_ns() + self.skew_ns

    def client(self, address: str = "198.51.100.7") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.edge, client=(address, 5))
        return httpx.AsyncClient(transport=transport, base_url="http://x/account/v1")

    async def ask(
        self, method: str, path: str, body: Any = None, token: str | None = None, **more: Any
    ) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self.client(more.pop("address", "198.51.100.7")) as client:
            return await client.request(method, path, json=body, headers=headers, **more)

    async def user(self) -> str:
        """Return the login of a new user."""
        login = f"user-{next(_logins)}"
        answer = await self.ask("POST", "/users", {"login": login, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        return login

    async def sign_in(self, login: str, **more: Any) -> dict[str, Any]:
        answer = await self.ask("POST", "/sessions", {"login": login, "password": PASSWORD, **more})
        assert answer.status_code == 201, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    @property
    def keys(self) -> list[str]:
        return token_secrets(self.settings.secrets)


@asynccontextmanager
async def running(dsn: str, redis_url: str, **options: Any) -> AsyncIterator[World]:
    settings = IngestSettings(
        postgres=PostgresSettings(dsn=dsn),
        redis=RedisSettings(url=redis_url, timeout_ms=2_000),
        secrets=SecretSettings(master_key=MASTER, token_key=TOKEN_KEY, master_key_file=Path("unused")),  # type: ignore[arg-type]
        limits=LimitSettings(request_weight_1m=10**6),
        accounts=AccountOptions(**{"registrations_1h": 10**6, "attempts_of_address_15m": 10**6, **options}),
    )
    limits = RateLimits(settings.limits)
    shared = SharedLimits(settings.redis, limits, 60, time.time_ns)
    database = Database(settings.postgres, 4)
    world = World(settings, Edge(limits, time.time_ns, shared), database)
    box = SecretBox(MASTER)

    async def open_account(name: str) -> Account:
        """Do at once what the recorder does when it reads AccountOpened."""
        rows = await database.rows(
            "INSERT INTO accounts SELECT nextval('account_ids'), %(name)s, 'ACTIVE', 1000, 1000, 0"
            " RETURNING account_id, name, status, maker_fee_ppm, taker_fee_ppm, opened_at_ns",
            {"name": name},
        )
        return Account(*rows[0])

    service = AccountService(
        settings=settings,
        database=database,
        box=box,
        keys=KeyDesk(database, box, world.now_ns, lambda: None),
        open_account=open_account,
        limits=limits,
        shared=shared,
        now_ns=world.now_ns,
        document=True,
    )
    world.edge.mount_under("/account/v1/", service.app)
    try:
        yield world
    finally:
        await service.close()
        await database.close()
