"""Registering, signing in, sessions, codes, and one's own keys, as a client of `/account/v1` sees them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pyotp
import pytest
import redis
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ingest.accounts.tokens import _Key
from service_runtime.migrations import migrate
from tests.integration.ingest.account_world import PASSWORD, TOKEN_KEY, World, running

pytestmark = pytest.mark.long
MIGRATIONS = Path(__file__).resolve().parents[3] / "recorder" / "migrations"
OTHER = "another password altogether"


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> str:
    migrate(postgres_dsn, MIGRATIONS)
    return postgres_dsn


@pytest.fixture(scope="module")
def redis_db(redis_url: str) -> str:
    url = f"{redis_url.rsplit('/', 1)[0]}/12"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
async def world(dsn: str, redis_db: str) -> AsyncIterator[World]:
    async with running(dsn, redis_db) as made:
        yield made


def refused(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"], set(answer.json())) == (status, code, {"code", "msg"})


async def test_register_sign_in_and_out(world: World) -> None:
    answer = await world.ask("POST", "/users", {"login": "Alice@Example.com", "password": PASSWORD})
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    user = answer.json()
    assert (user["login"], user["totp_active"]) == ("alice@example.com", False)
    refused(
        await world.ask("POST", "/users", {"login": "alice@example.COM", "password": PASSWORD}),
        409,
        "login_taken",
    )
    tokens = await world.sign_in("ALICE@example.com")
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 600)
    assert (await world.ask("GET", "/user", token=tokens["access_token"])).json() == user
    second = await world.sign_in("alice@example.com")
    listed = (await world.ask("GET", "/sessions", token=second["access_token"])).json()
    assert [session["current"] for session in listed] == [False, True]
    out = await world.ask("DELETE", "/sessions/current", token=tokens["access_token"])
    assert out.json() == {"ended": 1}
    refused(await world.ask("GET", "/user", token=tokens["access_token"]), 401, "token_invalid")
    refused(
        await world.ask("POST", "/sessions/renewal", {"refresh_token": tokens["refresh_token"]}),
        401,
        "token_invalid",
    )
    assert (await world.ask("DELETE", "/sessions", token=second["access_token"])).json() == {"ended": 1}
    refused(await world.ask("GET", "/user", token=second["access_token"]), 401, "token_invalid")


async def test_a_refresh_token_is_good_once_and_a_second_use_ends_the_family(world: World) -> None:
    tokens = await world.sign_in(await world.user())

    async def renew(token: str) -> Any:
        return await world.ask("POST", "/sessions/renewal", {"refresh_token": token})

    newer = (await renew(tokens["refresh_token"])).json()
    assert (await world.ask("GET", "/user", token=newer["access_token"])).status_code == 200
    newest = (await renew(newer["refresh_token"])).json()
    refused(await renew(tokens["refresh_token"]), 401, "token_invalid")  # stolen, or the thief's own
    refused(await renew(newest["refresh_token"]), 401, "token_invalid")
    refused(await world.ask("GET", "/user", token=newest["access_token"]), 401, "token_invalid")
    for forged in (
        "",
        "r1.x",
        newest["refresh_token"][:-1] + "!",
        newest["refresh_token"].replace(".3.", ".4."),
    ):
        refused(await renew(forged), 401, "token_invalid")


async def test_of_two_renewals_at_once_one_is_good(world: World) -> None:
    tokens = await world.sign_in(await world.user())
    answers = await asyncio.gather(
        *(
            world.ask("POST", "/sessions/renewal", {"refresh_token": tokens["refresh_token"]})
            for _ in range(2)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 401]


async def test_a_session_ends_in_time(world: World) -> None:
    tokens = await world.sign_in(await world.user())
    world.skew_ns = world.settings.accounts.session_s * 10**9
    refused(
        await world.ask("POST", "/sessions/renewal", {"refresh_token": tokens["refresh_token"]}),
        401,
        "token_invalid",
    )


def forged(world: World, session: str, key: Any = None, algorithm: str = "EdDSA", **changes: Any) -> str:
    """A token like ours, with changes; `header` changes the header, None leaves a claim out."""
    own = _Key(world.keys[0])
    now = int(time.time())
    header = {"kid": own.name, "typ": "at+jwt", **changes.pop("header", {})}
    claims = {
        "iss": "tapehouse", "aud": "tapehouse-account", "sub": "1001", "sid": session, "iat": now, "nbf": now,
        "exp": now + 60, "jti": "j", **changes,
    }  # fmt: skip
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key or own.private, algorithm, headers=header)


async def test_forged_tokens_are_refused(world: World) -> None:
    tokens = await world.sign_in(await world.user())
    good = tokens["access_token"]
    claims = jwt.decode(good, options={"verify_signature": False})
    header = jwt.get_unverified_header(good)
    assert (header["alg"], header["typ"]) == ("EdDSA", "at+jwt")
    assert {"iss", "aud", "exp", "jti", "sub"} <= set(claims)
    session, sub = claims["sid"], {"sub": claims["sub"]}
    assert (await world.ask("GET", "/user", token=forged(world, session, **sub))).status_code == 200
    public = _Key(TOKEN_KEY).public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def unsigned(algorithm: str) -> str:
        parts = [{**header, "alg": algorithm}, claims]
        return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts)

    by_public = unsigned("HS256")
    proof = hmac.new(public, by_public.encode(), hashlib.sha256).digest()
    bad = [
        unsigned("none") + ".",
        f"{by_public}.{base64.urlsafe_b64encode(proof).rstrip(b'=').decode()}",
        forged(world, session, Ed25519PrivateKey.generate()),
        *(
            forged(world, session, header={"kid": kid})
            for kid in ("unknown", "../../etc/passwd", "http://169.254.169.254/", "' OR 1=1 --")
        ),
        forged(world, session, header={"typ": "JWT"}),
        forged(world, session, header={"jku": "http://127.0.0.1:9/", "kid": "x"}),
        forged(world, session, exp=int(time.time()) - 1),
        forged(world, session, nbf=int(time.time()) + 60),
        forged(world, session, aud="another"),
        forged(world, session, iss="another"),
        *(forged(world, session, **{claim: None}) for claim in ("exp", "aud", "iss", "jti", "sid", "nbf")),
        forged(world, "0" * 32),
        forged(world, "not-a-uuid"),
        tokens["refresh_token"],
        good[:-2],
        good + "x" * 4000,
        "..",
        "",
    ]
    for token in bad:
        answer = await world.ask("GET", "/user", token=token)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), token
    refused(await world.ask("GET", "/user"), 401, "auth_required")


async def test_wrong_passwords_and_unknown_logins_are_one_answer_and_bounded(dsn: str, redis_db: str) -> None:
    async with running(dsn, redis_db, attempts_of_login_15m=4, attempts_of_address_15m=9) as world:
        login = await world.user()

        async def attempt(whom: str, password: str = OTHER, address: str = "203.0.113.1") -> Any:
            body = {"login": whom, "password": password}
            return await world.ask("POST", "/sessions", body, address=address)

        for _ in range(10):  # right ones are not counted
            assert (await attempt(login, PASSWORD)).status_code == 201

        known = [await attempt(login) for _ in range(4)]
        unknown = [await attempt("nobody-here") for _ in range(4)]
        assert {(a.status_code, a.text) for a in known + unknown} == {(401, known[0].text)}
        refused(known[0], 401, "sign_in_refused")
        for whom in (login, "nobody-here"):
            locked = await attempt(whom, PASSWORD, "203.0.113.2")
            refused(locked, 429, "too_many_attempts")
            assert 0 < int(locked.headers["retry-after"]) <= 900
        assert (await attempt("somebody-1")).status_code == 401
        refused(await attempt("somebody-2"), 429, "too_many_attempts")
        assert (await attempt("somebody-2", address="203.0.113.3")).status_code == 401


async def test_unknown_logins_cost_as_much_as_known_ones(world: World) -> None:
    """By the work done, not by the clock: a hash is computed with the same parameters for both."""
    login = await world.user()
    with psycopg.connect(world.settings.postgres.dsn) as connection:
        row = connection.execute("SELECT password_hash FROM users WHERE login = %s", [login]).fetchone()
    assert row is not None
    assert row[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_sign_in_is_closed_while_nothing_can_be_counted(world: World, dsn: str) -> None:
    login = await world.user()
    tokens = await world.sign_in(login)
    async with running(dsn, "redis://127.0.0.1:9/0") as alone:
        for path in ("/sessions", "/users"):
            answer = await alone.ask("POST", path, {"login": login, "password": PASSWORD})
            refused(answer, 503, "overloaded")
            assert answer.headers["retry-after"] == "1"
        session = await alone.ask("GET", "/user", token=tokens["access_token"])  # Postgres knows it
        assert session.json()["login"] == login
        assert (
            await alone.ask("DELETE", "/sessions/current", token=tokens["access_token"])
        ).status_code == 200
        refused(await alone.ask("GET", "/user", token=tokens["access_token"]), 401, "token_invalid")


async def test_a_flood_of_sign_ins_is_refused_beyond_its_queue(dsn: str, redis_db: str) -> None:
    async with running(dsn, redis_db, passwords_waiting=2, password_threads=1) as world:
        login = await world.user()
        body = {"login": login, "password": PASSWORD}
        answers = await asyncio.gather(*(world.ask("POST", "/sessions", body) for _ in range(8)))
        states = {answer.status_code for answer in answers}
        assert states == {201, 503}


@pytest.mark.parametrize(
    "password",
    ["short", "x" * 257, "\u20ac" * 86, "nul \x00 inside it", "x" * 16_000, "half a pair \ud800"],
    ids=["short", "long", "bytes", "nul", "huge", "surrogate"],
)
async def test_odd_passwords_are_refused(world: World, password: str) -> None:
    async with world.client() as client:
        raw = json.dumps({"login": "odd-one", "password": password}).encode()
        answer = await client.post("/users", content=raw, headers={"Content-Type": "application/json"})
    assert (answer.status_code, set(answer.json())) == (422, {"code", "msg"})


async def test_a_look_alike_is_another_password(world: World) -> None:
    login = await world.user()
    answer = await world.ask(
        "POST", "/sessions", {"login": login, "password": PASSWORD.replace("o", "\u043e")}
    )
    refused(answer, 401, "sign_in_refused")
    composed = "\u00e9" * 12
    made = {"login": "accented", "password": composed}
    assert (await world.ask("POST", "/users", made)).status_code == 201
    other_keyboard = {"login": "accented", "password": "e\u0301" * 12}
    assert (await world.ask("POST", "/sessions", other_keyboard)).status_code == 201


async def test_an_old_hash_is_renewed_at_sign_in(world: World) -> None:
    login = await world.user()
    weak = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)
    with psycopg.connect(world.settings.postgres.dsn) as connection:
        connection.execute("UPDATE users SET password_hash = %s WHERE login = %s", [weak, login])
    await world.sign_in(login)
    with psycopg.connect(world.settings.postgres.dsn) as connection:
        row = connection.execute("SELECT password_hash FROM users WHERE login = %s", [login]).fetchone()
    assert row is not None
    assert "m=19456,t=2,p=1" in row[0]
    await world.sign_in(login)


async def test_a_changed_password_ends_the_other_sessions(world: World) -> None:
    login = await world.user()
    first, second = await world.sign_in(login), await world.sign_in(login)
    body = {"password": OTHER, "new_password": OTHER}
    refused(
        await world.ask("PUT", "/user/password", body, token=first["access_token"]), 401, "sign_in_refused"
    )
    body["password"] = PASSWORD
    answer = await world.ask("PUT", "/user/password", body, token=first["access_token"])
    assert answer.json() == {"ended": 1}
    assert (await world.ask("GET", "/user", token=first["access_token"])).status_code == 200
    refused(await world.ask("GET", "/user", token=second["access_token"]), 401, "token_invalid")
    assert (await world.ask("POST", "/sessions", {"login": login, "password": OTHER})).status_code == 201
    refused(
        await world.ask("POST", "/sessions", {"login": login, "password": PASSWORD}), 401, "sign_in_refused"
    )


async def test_codes_of_an_authenticator(world: World) -> None:
    login = await world.user()
    token = (await world.sign_in(login))["access_token"]
    proposed = (await world.ask("POST", "/user/totp", {"password": PASSWORD}, token=token)).json()
    assert proposed["uri"].startswith("otpauth://totp/tapehouse:")
    totp = pyotp.TOTP(proposed["secret"])

    def code(steps: int = 0) -> str:
        return totp.at(world.now_ns() // 10**9 + 30 * steps)

    await world.sign_in(login)  # not asked for before it is confirmed
    refused(
        await world.ask("POST", "/user/totp/confirmation", {"code": "000000"}, token=token),
        401,
        "sign_in_refused",
    )
    confirmed = await world.ask("POST", "/user/totp/confirmation", {"code": code()}, token=token)
    assert confirmed.json()["totp_active"] is True
    body = {"login": login, "password": PASSWORD}
    for more in ({}, {"code": "000000"}, {"code": code(5)}, {"code": code()}):  # the last: used before
        refused(await world.ask("POST", "/sessions", {**body, **more}), 401, "sign_in_refused")
    world.skew_ns += 60 * 10**9
    good = code()
    await world.sign_in(login, code=good)
    refused(await world.ask("POST", "/sessions", {**body, "code": good}), 401, "sign_in_refused")
    refused(await world.ask("POST", "/user/totp", {"password": PASSWORD}, token=token), 409, "totp_active")
    with psycopg.connect(world.settings.postgres.dsn) as connection:
        row = connection.execute("SELECT totp_secret FROM users WHERE login = %s", [login]).fetchone()
    assert row is not None
    assert proposed["secret"].encode() not in row[0]
    world.skew_ns += 60 * 10**9
    removal = {"password": PASSWORD, "code": code()}
    removed = await world.ask("POST", "/user/totp/removal", removal, token=token)
    assert removed.json()["totp_active"] is False
    await world.sign_in(login)


async def test_ones_own_keys_and_nobody_elses(world: World) -> None:
    token = (await world.sign_in(await world.user()))["access_token"]
    other = (await world.sign_in(await world.user()))["access_token"]
    made = await world.ask(
        "POST", "/api-keys", {"label": "bot", "allowed_networks": ["10.0.0.0/8"]}, token=token
    )
    assert made.status_code == 201
    key = made.json()
    path = f"/api-keys/{key['api_key']}"
    assert len(key.pop("secret")) == 64
    assert (await world.ask("GET", "/api-keys", token=token)).json() == [key]
    changed = (await world.ask("PATCH", path, {"can_trade": False}, token=token)).json()
    assert (changed["can_trade"], changed["allowed_networks"]) == (False, ["10.0.0.0/8"])
    for method, where, body in (
        ("PATCH", path, {"can_trade": True}),
        ("DELETE", path, None),
        ("POST", f"{path}/rotation", {"overlap_s": 60}),
    ):
        refused(await world.ask(method, where, body, token=other), 404, "unknown_api_key")
    rotated = (await world.ask("POST", f"{path}/rotation", {"overlap_s": 60}, token=token)).json()
    assert (rotated["rotated_from"], rotated["can_trade"]) == (key["api_key"], False)
    assert len(rotated["secret"]) == 64
    gone = (await world.ask("DELETE", path, token=token)).json()
    assert gone["revoked_at_ns"] is not None
    assert (await world.ask("GET", "/api-keys", token=other)).json() == []
    for body in (
        {"is_admin": True}, {"account_id": 1001}, {"kind": "HMAC2"}, {"can_read": "yes"},
        {"allowed_networks": ["x"]}, {"kind": "ED25519"}, {"expires_at_ns": -1},
    ):  # fmt: skip
        answer = await world.ask("POST", "/api-keys", body, token=token)
        assert (answer.status_code, set(answer.json())) == (422, {"code", "msg"}), body


@pytest.mark.parametrize(
    ("raw", "headers", "status"),
    [
        (b"nonsense", {}, 400),
        (b"[1]", {}, 400),
        (b"null", {}, 400),
        (b'{"login":"a","login":"b","password":"x"}', {}, 400),
        (b'{"a":{"b":1,"b":2}}', {}, 400),
        (b'{"login":"abc"} x', {}, 400),
        (b'\xef\xbb\xbf{"login":"abc"}', {}, 400),
        (b'{"login":NaN}', {}, 400),
        (b"\xff\xfe{}", {}, 400),
        (b'{"a":' + b"[" * 7_000 + b"]" * 7_000 + b"}", {}, 400),
        (b'{"a":' * 2_000 + b"1" + b"}" * 2_000, {}, 400),
        (b'{"login":"' + b"x" * 17_000 + b'"}', {}, 413),
        (b"login=alice", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"login":"alice"}', {"Content-Type": "text/plain"}, 415),
        (b"\x1f\x8b", {"Content-Encoding": "gzip"}, 415),
        (b"{}", {}, 422),
        (b"", {}, 400),
        (b'{"login":"alice","password":"x","is_admin":true}', {}, 422),
        (b'{"login":"a b c","password":"correct horse"}', {}, 422),
        ('{"login":"\u0430lice","password":"correct horse"}'.encode(), {}, 422),
        (b'{"login":1,"password":"correct horse"}', {}, 422),
    ],
)
async def test_bodies_are_read_strictly(
    world: World, raw: bytes, headers: dict[str, str], status: int
) -> None:
    async with world.client() as client:
        answer = await client.post(
            "/users", content=raw, headers={"Content-Type": "application/json", **headers}
        )
    assert (answer.status_code, set(answer.json())) == (status, {"code", "msg"}), answer.text


async def test_what_is_not_here_is_refused_in_our_words(world: World) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("PUT", "/users", 405),
        ("PATCH", "/sessions", 405),
        ("DELETE", "/api-keys/", 404),
    ):
        answer = await world.ask(method, path)
        assert (answer.status_code, set(answer.json())) == (status, {"code", "msg"})


async def test_too_many_requests_are_refused_before_anything_is_read(dsn: str, redis_db: str) -> None:
    async with running(dsn, redis_db) as world:
        world.edge.limits.weight.limit = 12
        answers = [await world.ask("GET", "/user", address="203.0.113.77") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        refused(answers[-1], 429, "too_many_requests")
        assert answers[-1].headers["x-mbx-used-weight-1m"] == "10"


async def test_the_document_names_every_route_and_works_offline(world: World) -> None:
    document = (await world.ask("GET", "/openapi.json")).json()
    assert len(document["paths"]) == 12
    page = (await world.ask("GET", "/docs")).text
    assert "cdn" not in page
    assert (await world.ask("GET", "/docs/swagger-ui-bundle.js")).status_code == 200
