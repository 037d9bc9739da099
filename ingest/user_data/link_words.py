"""What workers and the user data process say to each other: one line each.

worker:  `H <proof>` first, then `+<account> <number>` and `-<account>`; the number is never used again
process: `S <account> <number>` it is followed from here on, `E <account> <event>`, `X <account>` it is no
         longer followed: something was lost, and `P`, once a second, that it is alive

A worker that gave up an account and asks for it again may still get the `S` of before: the number tells.
"""

from __future__ import annotations

import hmac
from typing import Final

HEARTBEAT_S: Final = 1.0
SILENCE_S: Final = 5.0
MAX_LINE: Final = 1_048_576
ALIVE: Final = b"P\n"


def proof(master_secret: str) -> bytes:
    """Return what shows that a worker belongs to this exchange: it holds the same master key."""
    return hmac.digest(master_secret.encode(), b"tapehouse user data", "sha256").hex().encode()


class Lines:
    """Bytes in, whole lines out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that are complete. Raises ValueError for one without an end."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise ValueError("a line without an end")
        return whole
