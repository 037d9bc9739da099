"""Secrets at rest: API secrets sealed with AES-GCM, and the files that hold what unseals them."""

from __future__ import annotations

import os
import secrets
from hashlib import blake2b
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ingest.settings import SecretSettings

_NONCE_BYTES = 12
_MIN_SECRET = 32


class CannotUnseal(ValueError):
    """The sealed bytes were not sealed with this master key, or for this API key."""


class SecretBox:
    """Seals one API secret for one API key: the sealed bytes are of no use under another name."""

    def __init__(self, master_secret: str) -> None:
        key = blake2b(master_secret.encode(), digest_size=32, person=b"tapehouse-keys").digest()
        self._cipher = AESGCM(key)

    def seal(self, api_key: str, secret: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, api_key.encode())

    def unseal(self, api_key: str, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], api_key.encode())
        except (InvalidTag, ValueError) as error:
            raise CannotUnseal(f"API key {api_key[:6]}...") from error


def master_secret(settings: SecretSettings) -> str:
    """Return what seals the secrets: from the environment, or from the file, made when missing."""
    if settings.master_key is not None:
        return settings.master_key.get_secret_value()
    return read_or_make_secret(settings.master_key_file)


def token_secrets(settings: SecretSettings) -> list[str]:
    """Return what signs tokens, and after it what only verifies them."""
    if settings.token_key is not None:
        text = settings.token_key.get_secret_value()
    else:
        text = read_or_make_secret(settings.token_key_file or settings.master_key_file.with_name("token-key"))
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if any(len(line) < _MIN_SECRET for line in found):
        raise ValueError(f"token key: each line needs at least {_MIN_SECRET} characters")
    return found


def read_or_make_secret(path: Path) -> str:
    """Return the text of the file; make it first, for its owner's eyes only, when it is missing.

    Several processes may ask at once: all get the same text. Raises ValueError for a file too short to
    be a secret.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    text = path.read_text(encoding="utf-8").strip()
    if len(text) < _MIN_SECRET:
        raise ValueError(f"{path}: at least {_MIN_SECRET} characters are needed")
    return text
