"""Passwords: argon2id, in a few threads with a bounded queue, a flood of sign-ins starves no order."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ingest.management_refusal import ManagementRefusal
from ingest.settings import AccountOptions
from schemas.public_errors import RETRY_AFTER_S

T = TypeVar("T")
MIN_CHARACTERS: Final = 10
MAX_BYTES: Final = 256


class Passwords:
    def __init__(self, options: AccountOptions) -> None:
        self._hasher = PasswordHasher(
            time_cost=options.argon2_passes, memory_cost=options.argon2_memory_kib, parallelism=1
        )
        self._threads = ThreadPoolExecutor(options.password_threads, thread_name_prefix="passwords")
        self._most_waiting = options.passwords_waiting
        self._waiting = 0
        self._nobodys = self._hasher.hash(secrets.token_hex(32))

    async def hash(self, password: str) -> str:
        """Return what to store. Raises ManagementRefusal: the password's form, or too many at once."""
        checked = normal(password)
        return await self._run(lambda: self._hasher.hash(checked))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Return whether it is the password. Without a user (None) it takes as long, and is not."""
        try:
            checked = normal(password)
        except ManagementRefusal:
            checked, stored = "", None  # no stored password has this form; it takes as long
        matches = await self._run(lambda: self._matches(stored or self._nobodys, checked))
        return matches and stored is not None

    def outdated(self, stored: str) -> bool:
        """Return whether it was hashed with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._most_waiting:
            raise ManagementRefusal(
                503, "overloaded", "too many sign-ins at once; try again", {"Retry-After": str(RETRY_AFTER_S)}
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def normal(password: str) -> str:
    """Return the password as it is hashed: the same on every keyboard. Raises ManagementRefusal."""
    found = unicodedata.normalize("NFC", password)
    try:
        size = len(found.encode())
    except UnicodeEncodeError:  # half a surrogate pair
        size = MAX_BYTES + 1
    if len(found) < MIN_CHARACTERS or size > MAX_BYTES:
        raise ManagementRefusal(
            422,
            "password_length",
            f"a password has at least {MIN_CHARACTERS} characters and at most {MAX_BYTES} bytes",
        )
    if any(unicodedata.category(character) == "Cc" for character in found):
        raise ManagementRefusal(422, "password_characters", "a password has no control characters")
    return found
