"""Rows of `users`: one sign-in for one account. TOTP secrets are sealed under the login."""

from __future__ import annotations

import psycopg
from msgspec import Struct

from ingest.database import Database
from ingest.management_refusal import ManagementRefusal
from ingest.sealed_secrets import SecretBox


class User(Struct, frozen=True):
    login: str
    account_id: int
    password_hash: str
    totp_secret: str | None
    totp_active: bool
    totp_last_step: int
    created_at_ns: int


class Users:
    def __init__(self, database: Database, box: SecretBox) -> None:
        self._database = database
        self._box = box

    async def by_login(self, login: str) -> User | None:
        return await self._one("login = %(whom)s", login)

    async def by_account(self, account_id: int) -> User | None:
        return await self._one("account_id = %(whom)s", account_id)

    async def add(self, login: str, account_id: int, password_hash: str, now_ns: int) -> None:
        """Raises ManagementRefusal (409) for a login that is taken."""
        try:
            await self._database.rows(
                "INSERT INTO users (login, account_id, password_hash, created_at_ns)"
                " VALUES (%(login)s, %(account)s, %(hash)s, %(now)s)",
                {"login": login, "account": account_id, "hash": password_hash, "now": now_ns},
            )
        except psycopg.errors.UniqueViolation as error:
            raise login_taken() from error

    async def set_password(self, login: str, password_hash: str, instead_of: str) -> bool:
        """Store a hash in place of that one; return whether it was still there."""
        rows = await self._database.rows(
            "UPDATE users SET password_hash = %(hash)s WHERE login = %(login)s AND password_hash = %(old)s"
            " RETURNING login",
            {"hash": password_hash, "login": login, "old": instead_of},
        )
        return bool(rows)

    async def propose_totp(self, login: str, secret: str) -> bool:
        """Store a secret that is not asked for yet; return False if one is active."""
        rows = await self._database.rows(
            "UPDATE users SET totp_secret = %(secret)s, totp_last_step = 0"
            " WHERE login = %(login)s AND NOT totp_active RETURNING login",
            {"secret": self._box.seal(_sealed_for(login), secret.encode()), "login": login},
        )
        return bool(rows)

    async def use_totp_step(self, login: str, step: int) -> bool:
        """Use a code up, and ask for codes from now on; return False if somebody used it first."""
        rows = await self._database.rows(
            "UPDATE users SET totp_last_step = %(step)s, totp_active = true"
            " WHERE login = %(login)s AND totp_last_step < %(step)s AND totp_secret IS NOT NULL"
            " RETURNING login",
            {"step": step, "login": login},
        )
        return bool(rows)

    async def remove_totp(self, login: str) -> None:
        await self._database.rows(
            "UPDATE users SET totp_secret = NULL, totp_active = false WHERE login = %(login)s",
            {"login": login},
        )

    async def _one(self, condition: str, whom: str | int) -> User | None:
        rows = await self._database.rows(
            "SELECT login, account_id, password_hash, totp_secret, totp_active, totp_last_step,"
            f" created_at_ns FROM users WHERE {condition}",
            {"whom": whom},
        )
        if not rows:
            return None
        login, account_id, password_hash, sealed, *rest = rows[0]
        secret = None if sealed is None else self._box.unseal(_sealed_for(login), bytes(sealed)).decode()
        return User(login, account_id, password_hash, secret, *rest)


def login_taken() -> ManagementRefusal:
    return ManagementRefusal(409, "login_taken", "this login is taken")


def _sealed_for(login: str) -> str:
    return f"totp:{login}"
