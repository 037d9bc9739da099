"""API keys as rows: made, listed, changed, rotated, revoked. Workers look for changes every half second.

The operator's API and the accounts' API both work here. HMAC secrets are stored sealed and shown once;
of Ed25519 and RSA keys only the public half is ever known.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct

from ingest.api_keys import InvalidPublicKey, load_public_key
from ingest.database import Database
from ingest.management_refusal import ManagementRefusal
from ingest.sealed_secrets import SecretBox

KeyKind = Literal["HMAC", "ED25519", "RSA"]
MAX_LIVE_KEYS: Final = 30
_NS: Final = 1_000_000_000
_ALPHABET: Final = string.ascii_letters + string.digits
_KEY_LENGTH: Final = 64
_COLUMNS: Final = (
    "api_key, account_id, label, kind, can_read, can_trade, can_withdraw,"
    " (SELECT coalesce(array_agg(n::text), '{}') FROM unnest(allowed_networks) n),"
    " created_at_ns, expires_at_ns, revoked_at_ns, rotated_from"
)
_LIVE: Final = "revoked_at_ns IS NULL AND (expires_at_ns IS NULL OR expires_at_ns > %(now)s)"
_CHANGEABLE: Final = ("label", "can_read", "can_trade", "can_withdraw", "allowed_networks", "expires_at_ns")


class KeyInfo(Struct, frozen=True):
    """An API key without its secret."""

    api_key: str
    account_id: int
    label: str
    kind: str
    can_read: bool
    can_trade: bool
    can_withdraw: bool
    allowed_networks: list[str]
    created_at_ns: int
    expires_at_ns: int | None
    revoked_at_ns: int | None
    rotated_from: str | None


class KeyDesk:
    def __init__(
        self,
        database: Database,
        box: SecretBox,
        now_ns: Callable[[], int],
        keys_changed: Callable[[], None],
    ) -> None:
        self._database = database
        self._box = box
        self._now_ns = now_ns
        self._keys_changed = keys_changed

    async def create(
        self,
        account_id: int,
        *,
        label: str = "",
        kind: KeyKind = "HMAC",
        public_key: str | None = None,
        can_read: bool = True,
        can_trade: bool = True,
        can_withdraw: bool = False,
        allowed_networks: Sequence[str] = (),
        expires_at_ns: int | None = None,
    ) -> tuple[KeyInfo, str | None]:
        """Return the key and, for HMAC, its secret: the only time that it is shown."""
        api_key, secret, stored = self._fresh(kind, public_key)
        values = {
            "key": api_key,
            "account": account_id,
            "label": label,
            "kind": kind,
            "secret": stored,
            "read": can_read,
            "trade": can_trade,
            "withdraw": can_withdraw,
            "networks": networks(allowed_networks),
            "now": self._now_ns(),
            "expires": expires_at_ns,
            "most": MAX_LIVE_KEYS,
        }
        rows = await self._database.rows(
            "INSERT INTO api_keys (api_key, account_id, label, kind, secret, can_read, can_trade,"
            " can_withdraw, allowed_networks, created_at_ns, expires_at_ns)"
            " SELECT %(key)s, %(account)s, %(label)s, %(kind)s, %(secret)s, %(read)s, %(trade)s,"
            " %(withdraw)s, %(networks)s::cidr[], %(now)s, %(expires)s::bigint"
            f" WHERE (SELECT count(*) FROM api_keys WHERE account_id = %(account)s AND {_LIVE}) < %(most)s"
            f" RETURNING {_COLUMNS}",
            values,
        )
        if not rows:
            raise ManagementRefusal(
                409, "too_many_keys", f"the account has {MAX_LIVE_KEYS} live keys: revoke some first"
            )
        self._keys_changed()
        return KeyInfo(*rows[0]), secret

    async def keys(self, account_id: int) -> list[KeyInfo]:
        rows = await self._database.rows(
            f"SELECT {_COLUMNS} FROM api_keys WHERE account_id = %(account)s ORDER BY created_at_ns, api_key",
            {"account": account_id},
        )
        return [KeyInfo(*row) for row in rows]

    async def change(self, account_id: int, api_key: str, **changes: Any) -> KeyInfo:
        """Change what a live key may. `changes` are columns of `KeyInfo`; what is not named stays."""
        unknown = changes.keys() - set(_CHANGEABLE)
        assert not unknown, unknown
        if "allowed_networks" in changes:
            changes["allowed_networks"] = networks(changes["allowed_networks"])
        casts = {"allowed_networks": "::cidr[]", "expires_at_ns": "::bigint"}
        parts = [f"{name} = %({name})s{casts.get(name, '')}" for name in changes]
        rows = await self._database.rows(
            f"UPDATE api_keys SET {', '.join([*parts, 'changed_at = clock_timestamp()'])}"
            f" WHERE api_key = %(key)s AND account_id = %(account)s AND {_LIVE} RETURNING {_COLUMNS}",
            {**changes, "key": api_key, "account": account_id, "now": self._now_ns()},
        )
        return self._changed(rows)

    async def rotate(
        self, account_id: int, api_key: str, overlap_s: int, public_key: str | None = None
    ) -> tuple[KeyInfo, str | None]:
        """Make a successor on the same terms; the old key lives for `overlap_s` more, then never again.

        So two of them are live at once. A key is rotated once; the successor is rotated next.
        """
        live = [key for key in await self.keys(account_id) if key.api_key == api_key]
        now_ns = self._now_ns()
        if not live or live[0].revoked_at_ns is not None or _ended(live[0], now_ns):
            raise _unknown_key()
        old = live[0]
        fresh, secret, stored = self._fresh(old.kind, public_key)
        values = {
            "key": fresh,
            "old": api_key,
            "account": account_id,
            "secret": stored,
            "now": now_ns,
            "end": now_ns + overlap_s * _NS,
        }
        try:
            rows = await self._database.rows(
                "WITH old AS (UPDATE api_keys SET expires_at_ns = least(expires_at_ns, %(end)s),"
                " changed_at = clock_timestamp()"
                f" WHERE api_key = %(old)s AND account_id = %(account)s AND {_LIVE} RETURNING *)"
                " INSERT INTO api_keys (api_key, account_id, label, kind, secret, can_read, can_trade,"
                " can_withdraw, allowed_networks, created_at_ns, rotated_from)"
                " SELECT %(key)s, account_id, label, kind, %(secret)s, can_read, can_trade, can_withdraw,"
                f" allowed_networks, %(now)s, api_key FROM old RETURNING {_COLUMNS}",
                values,
            )
        except psycopg.errors.UniqueViolation as error:
            raise ManagementRefusal(
                409, "rotated_already", "this key has a successor: rotate that"
            ) from error
        return self._changed(rows), secret

    async def revoke(self, account_id: int, api_key: str) -> KeyInfo:
        """Revoke a key for ever; every worker refuses it within a second."""
        rows = await self._database.rows(
            "UPDATE api_keys SET revoked_at_ns = coalesce(revoked_at_ns, %(now)s),"
            " changed_at = clock_timestamp() WHERE api_key = %(key)s AND account_id = %(account)s"
            f" RETURNING {_COLUMNS}",
            {"now": self._now_ns(), "key": api_key, "account": account_id},
        )
        return self._changed(rows)

    def _changed(self, rows: list[Any]) -> KeyInfo:
        if not rows:
            raise _unknown_key()
        self._keys_changed()
        return KeyInfo(*rows[0])

    def _fresh(self, kind: str, public_key: str | None) -> tuple[str, str | None, bytes]:
        """Return a new key's name, its secret (HMAC) and what is stored of it."""
        api_key = _random_text()
        if kind == "HMAC":
            if public_key is not None:
                raise ManagementRefusal(422, "invalid_public_key", "an HMAC key has no public key")
            secret = _random_text()
            return api_key, secret, self._box.seal(api_key, secret.encode())
        try:
            kind_given = load_public_key((public_key or "").encode())
        except InvalidPublicKey as error:
            raise ManagementRefusal(422, "invalid_public_key", str(error)) from error
        if (kind == "RSA") != hasattr(kind_given, "key_size"):
            raise ManagementRefusal(422, "invalid_public_key", f"this is no {kind} key")
        return api_key, None, (public_key or "").encode()


def networks(texts: Sequence[str]) -> list[str]:
    """Return addresses and networks in CIDR form, each once. Raises ManagementRefusal."""
    try:
        return list(dict.fromkeys(str(ip_network(text)) for text in texts))
    except ValueError as error:
        raise ManagementRefusal(
            422, "invalid_network", "an allow-list holds addresses and networks: 203.0.113.7, 10.0.0.0/8"
        ) from error


def _ended(key: KeyInfo, now_ns: int) -> bool:
    return key.expires_at_ns is not None and key.expires_at_ns <= now_ns


def _unknown_key() -> ManagementRefusal:
    return ManagementRefusal(404, "unknown_api_key", "the account has no such live API key")


def _random_text() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(_KEY_LENGTH))
