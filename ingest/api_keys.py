"""API keys as the worker holds them in memory, and how each kind verifies a signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from msgspec import Struct

MIN_RSA_BITS = 2048
_BLOCK_BYTES = 64
_PADS = (0x36, 0x5C)
Network = IPv4Network | IPv6Network


class Verifier(Protocol):
    def __call__(self, payload: bytes, signature: str) -> bool:
        """Return whether the signature is the payload's. Never raises."""
        ...


class InvalidPublicKey(ValueError):
    """The text is no Ed25519 or RSA public key that we take."""


class ApiKey(Struct, frozen=True, kw_only=True, gc=False):
    api_key: str
    account_id: int
    verify: Verifier
    can_read: bool
    can_trade: bool
    maker_fee_ppm: int
    taker_fee_ppm: int
    expires_at_ns: int | None = None
    can_withdraw: bool = False
    networks: tuple[Network, ...] = ()
    """From where it may be used; empty: from everywhere."""

    def allows(self, address: str) -> bool:
        """Return whether the key may be used from this address."""
        if not self.networks:
            return True
        found = _address(address)
        return found is not None and any(found in network for network in self.networks)


@lru_cache(maxsize=4096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


class KeyStore:
    """Live keys by name. One writer, on the loop."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self.whole = False
        """Whether all keys are here; before that, one that is missing may well be good."""

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, api_key: str) -> ApiKey | None:
        return self._keys.get(api_key)

    def put(self, keys: Iterable[ApiKey]) -> None:
        self._keys.update((key.api_key, key) for key in keys)

    def drop(self, api_keys: Iterable[str]) -> None:
        for api_key in api_keys:
            self._keys.pop(api_key, None)


def hmac_verifier(secret: bytes) -> Verifier:
    """Return a verifier of hexadecimal HMAC-SHA256 signatures.

    What depends on the secret alone is hashed once, here: it is most of what a short payload costs.
    Source: RFC 2104, section 4.
    """
    block = hashlib.sha256(secret).digest() if len(secret) > _BLOCK_BYTES else secret
    block = block.ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in _PADS)

    def verify(payload: bytes, signature: str) -> bool:
        first, second = inner.copy(), outer.copy()
        first.update(payload)
        second.update(first.digest())
        expected = second.hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())  # in constant time

    return verify


def public_key_verifier(pem: bytes) -> Verifier:
    """Return a verifier of base64 signatures. Raises InvalidPublicKey."""
    key = load_public_key(pem)

    def verify(payload: bytes, signature: str) -> bool:
        try:
            raw = base64.b64decode(signature, validate=True)
            if isinstance(key, Ed25519PublicKey):
                key.verify(raw, payload)
            else:
                key.verify(raw, payload, padding.PKCS1v15(), hashes.SHA256())
        except (binascii.Error, ValueError, InvalidSignature):
            return False
        return True

    return verify


def load_public_key(pem: bytes) -> Ed25519PublicKey | RSAPublicKey:
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise InvalidPublicKey("no PEM public key") from error
    if isinstance(key, RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return key
    if isinstance(key, Ed25519PublicKey):
        return key
    raise InvalidPublicKey(f"an Ed25519 key or an RSA key of at least {MIN_RSA_BITS} bits is needed")
