"""API keys from the desk to the workers' memory: made, changed, rotated, revoked, each within a second."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ingest.api_keys import ApiKey, KeyStore
from ingest.database import Database
from ingest.dependencies import Dependencies
from ingest.key_desk import MAX_LIVE_KEYS, KeyDesk
from ingest.key_feed import KeyFeed
from ingest.management_refusal import ManagementRefusal
from ingest.sealed_secrets import SecretBox
from service_runtime.migrations import migrate
from service_runtime.settings import PostgresSettings
from tests.unit.ingest.clients import sign

MIGRATIONS = Path(__file__).resolve().parents[3] / "recorder" / "migrations"
ACCOUNT = 1001
MASTER = "m" * 64


@dataclass
class World:
    desk: KeyDesk
    workers: list[KeyStore]
    dsn: str

    async def everywhere(self, check: Callable[[KeyStore], bool]) -> None:
        """Wait until all workers are there."""
        async with asyncio.timeout(60):
            while True:
                if all(check(keys) for keys in self.workers):
                    return
                await asyncio.sleep(0.01)

    async def arrived(self, api_key: str) -> ApiKey:
        await self.everywhere(lambda keys: keys.get(api_key) is not None)
        found = self.workers[0].get(api_key)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> str:
    migrate(postgres_dsn, MIGRATIONS)
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(
            "INSERT INTO accounts VALUES (1001, 'alice', 'ACTIVE', 1000, 2000, 0),"
            " (1002, 'bob', 'ACTIVE', 1000, 2000, 0)"
        )
    return postgres_dsn


@asynccontextmanager
async def running(feed: KeyFeed) -> AsyncIterator[None]:
    task = asyncio.create_task(feed.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    """Two workers that look every half second, and a desk that cannot hurry them."""
    box = SecretBox(MASTER)
    settings = PostgresSettings(dsn=dsn)
    database = Database(settings, 2)
    stores = [KeyStore(), KeyStore()]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        for keys in stores:
            await stack.enter_async_context(running(KeyFeed(settings, keys, box, Dependencies(), 0.5)))
        yield World(KeyDesk(database, box, time.time_ns, lambda: None), stores, dsn)


async def test_a_revoked_key_is_gone_from_all_workers(world: World) -> None:
    key, secret = await world.desk.create(ACCOUNT)
    held = await world.arrived(key.api_key)
    assert secret is not None
    assert held.verify(b"a=1", sign("a=1", secret))
    await world.desk.revoke(ACCOUNT, key.api_key)
    await world.everywhere(lambda keys: keys.get(key.api_key) is None)
    assert all(keys.whole for keys in world.workers)


async def test_permissions_networks_and_expiry_change_everywhere(world: World) -> None:
    key, _ = await world.desk.create(ACCOUNT, can_trade=False, allowed_networks=["10.0.0.0/8", "::1"])
    held = await world.arrived(key.api_key)
    assert (held.can_read, held.can_trade, held.can_withdraw) == (True, False, False)
    assert [held.allows(a) for a in ("10.1.2.3", "::1", "11.0.0.1", "::ffff:10.1.2.3", "nonsense")] == [
        *(True, True, False, True, False)
    ]
    changed = await world.desk.change(
        ACCOUNT, key.api_key, can_withdraw=True, allowed_networks=[], expires_at_ns=time.time_ns() + 10**12
    )
    assert (changed.allowed_networks, changed.can_withdraw) == ([], True)
    await world.everywhere(lambda keys: (keys.get(key.api_key) or held).can_withdraw)
    now_held = await world.arrived(key.api_key)
    assert now_held.expires_at_ns == changed.expires_at_ns
    assert now_held.allows("11.0.0.1")


async def test_a_rotated_key_lives_on_beside_its_successor_until_its_end(world: World) -> None:
    old, _ = await world.desk.create(ACCOUNT, label="bot", can_withdraw=True, allowed_networks=["::1"])
    before_ns = time.time_ns()
    new, secret = await world.desk.rotate(ACCOUNT, old.api_key, 60)
    assert secret is not None
    assert (new.rotated_from, new.label, new.can_withdraw) == (old.api_key, "bot", True)
    assert new.allowed_networks == ["::1/128"]
    await world.arrived(new.api_key)
    await world.everywhere(lambda keys: (keys.get(old.api_key) or held_none).expires_at_ns is not None)
    held = world.workers[1].get(old.api_key)
    assert held is not None
    assert held.expires_at_ns is not None
    assert before_ns + 60 * 10**9 <= held.expires_at_ns <= time.time_ns() + 60 * 10**9
    for again, code in ((old.api_key, "rotated_already"), ("x" * 64, "unknown_api_key")):
        with pytest.raises(ManagementRefusal) as refused:
            await world.desk.rotate(ACCOUNT, again, 60)
        assert refused.value.code == code
    third, _ = await world.desk.rotate(ACCOUNT, new.api_key, 0)
    assert third.rotated_from == new.api_key
    with pytest.raises(ManagementRefusal):
        await world.desk.rotate(ACCOUNT, new.api_key, 60)


held_none = ApiKey(
    api_key="", account_id=0, verify=lambda payload, signature: False, can_read=False, can_trade=False,
    maker_fee_ppm=0, taker_fee_ppm=0,
)  # fmt: skip


async def test_of_a_public_key_no_secret_is_stored(world: World) -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    big = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    made = (
        ("ED25519", private.public_key(), private.sign(b"a=1")),
        ("RSA", big.public_key(), big.sign(b"a=1", padding.PKCS1v15(), hashes.SHA256())),
    )
    for kind, public, signature in made:
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        key, secret = await world.desk.create(ACCOUNT, kind=kind, public_key=pem)  # type: ignore[arg-type]
        assert secret is None
        held = await world.arrived(key.api_key)
        assert held.verify(b"a=1", base64.b64encode(signature).decode())
        wrong = "RSA" if kind == "ED25519" else "ED25519"
        for other, text in ((wrong, pem), (kind, "nonsense"), (kind, None), ("HMAC", pem)):
            with pytest.raises(ManagementRefusal) as refused:
                await world.desk.create(ACCOUNT, kind=other, public_key=text)  # type: ignore[arg-type]
            assert refused.value.code == "invalid_public_key"


async def test_what_is_stored_of_an_hmac_secret_does_not_show_it(world: World) -> None:
    key, secret = await world.desk.create(ACCOUNT)
    assert secret is not None
    async with await psycopg.AsyncConnection.connect(world.dsn) as connection:
        cursor = await connection.execute("SELECT secret FROM api_keys WHERE api_key = %s", [key.api_key])
        row = await cursor.fetchone()
    assert row is not None
    assert secret.encode() not in row[0]
    assert SecretBox(MASTER).unseal(key.api_key, row[0]) == secret.encode()


async def test_another_accounts_key_is_unknown_and_keys_are_bounded(world: World) -> None:
    key, _ = await world.desk.create(ACCOUNT)
    for attempt in (
        world.desk.revoke(1002, key.api_key),
        world.desk.change(1002, key.api_key, can_trade=False),
        world.desk.rotate(1002, key.api_key, 60),
    ):
        with pytest.raises(ManagementRefusal) as refused:
            await attempt
        assert (refused.value.status, refused.value.code) == (404, "unknown_api_key")
    assert await world.desk.keys(1002) == []
    made = [(await world.desk.create(1002))[0] for _ in range(MAX_LIVE_KEYS)]
    with pytest.raises(ManagementRefusal) as refused:
        await world.desk.create(1002)
    assert (refused.value.status, refused.value.code) == (409, "too_many_keys")
    await world.desk.revoke(1002, made[0].api_key)
    await world.desk.create(1002)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "example.com", "", "10.0.0.0/33", "1"])
async def test_an_allow_list_holds_networks_only(world: World, text: str) -> None:
    with pytest.raises(ManagementRefusal) as refused:
        await world.desk.create(ACCOUNT, allowed_networks=[text])
    assert refused.value.code == "invalid_network"
