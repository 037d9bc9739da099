"""Time-based one-time codes (RFC 6238): six digits, thirty seconds, each good once."""

from __future__ import annotations

import hmac
from typing import Final

import pyotp

STEP_S: Final = 30
_DRIFT_STEPS: Final = 1


def new_secret() -> str:
    return pyotp.random_base32()


def provisioning_uri(secret: str, login: str, issuer: str) -> str:
    """Return what a phone reads as a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=issuer)


def matching_step(secret: str, code: str, now_s: int, last_step: int) -> int | None:
    """Return the step whose code it is, the present one or a neighbour, later than the last one used."""
    totp = pyotp.TOTP(secret)
    now_step = now_s // STEP_S
    found = None
    for step in range(now_step - _DRIFT_STEPS, now_step + _DRIFT_STEPS + 1):
        right = hmac.compare_digest(totp.at(step * STEP_S).encode(), code.encode())
        if right and step > last_step:
            found = step
    return found
