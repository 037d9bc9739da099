"""Access tokens (EdDSA JWT, minutes) and refresh tokens (opaque, each good once)."""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ingest.management_refusal import ManagementRefusal
from ingest.settings import AccountOptions

AUDIENCE: Final = "tapehouse-account"
_ALGORITHM: Final = "EdDSA"
_TYPE: Final = "at+jwt"
_REQUIRED: Final = ["iss", "aud", "exp", "iat", "nbf", "jti", "sub", "sid"]
_MAX_TOKEN: Final = 2_048
_REFRESH: Final = re.compile(r"r1\.([0-9a-f]{32})\.([1-9][0-9]{0,8})\.([A-Za-z0-9_-]{43})", re.ASCII)


class Access(NamedTuple):
    """Who an access token speaks for."""

    account_id: int
    session_id: UUID


class Refresh(NamedTuple):
    session_id: UUID
    generation: int


class _Key:
    def __init__(self, secret: str) -> None:
        def derived(purpose: bytes) -> bytes:
            return blake2b(secret.encode(), digest_size=32, person=purpose).digest()

        self.private = Ed25519PrivateKey.from_private_bytes(derived(b"tapehouse-access"))
        self.public = self.private.public_key()
        raw = self.public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.name = blake2b(raw, digest_size=8).hexdigest()
        self.refresh = derived(b"tapehouse-renew")


class Tokens:
    """The first secret signs; the others still verify. Keys are found by `kid` in memory, nowhere else."""

    def __init__(self, key_secrets: Sequence[str], options: AccountOptions) -> None:
        self._keys = [_Key(secret) for secret in key_secrets]
        self._by_name = {key.name: key for key in self._keys}
        self._issuer = options.issuer
        self.lifetime_s = options.access_token_s

    def access(self, account_id: int, session_id: UUID, now_s: int) -> str:
        key = self._keys[0]
        claims = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": str(account_id),
            "sid": session_id.hex,
            "iat": now_s,
            "nbf": now_s,
            "exp": now_s + self.lifetime_s,
            "jti": secrets.token_hex(16),
        }
        return jwt.encode(claims, key.private, _ALGORITHM, headers={"kid": key.name, "typ": _TYPE})

    def read_access(self, token: str) -> Access:
        """Return whom the token speaks for. Raises ManagementRefusal (401) for whatever is wrong with it."""
        if len(token) > _MAX_TOKEN:
            raise invalid_token()
        try:
            header = jwt.get_unverified_header(token)
            name = header.get("kid")
            key = self._by_name.get(name) if isinstance(name, str) else None
            if key is None or header.get("alg") != _ALGORITHM or header.get("typ") != _TYPE:
                raise invalid_token()
            claims = jwt.decode(
                token,
                key.public,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                issuer=self._issuer,
                options={"require": _REQUIRED},
            )
            return Access(int(claims["sub"]), UUID(hex=claims["sid"]))
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            raise invalid_token() from error

    def refresh(self, session_id: UUID, generation: int) -> str:
        return _refresh_text(self._keys[0], session_id, generation)

    def read_refresh(self, token: str) -> Refresh:
        """Return which generation of which session it is. Raises ManagementRefusal (401) if not ours."""
        match = _REFRESH.fullmatch(token)
        if match is None:
            raise invalid_token()
        found = Refresh(UUID(hex=match[1]), int(match[2]))
        for key in self._keys:
            if hmac.compare_digest(_refresh_text(key, *found), token):
                return found
        raise invalid_token()


def _refresh_text(key: _Key, session_id: UUID, generation: int) -> str:
    body = f"r1.{session_id.hex}.{generation}"
    proof = blake2b(body.encode(), key=key.refresh, digest_size=32).digest()
    return f"{body}.{base64.urlsafe_b64encode(proof).rstrip(b'=').decode()}"


def invalid_token() -> ManagementRefusal:
    return ManagementRefusal(
        401, "token_invalid", "the token is not valid: sign in again", {"WWW-Authenticate": "Bearer"}
    )
