"""Integers for money: ticks, lots and minor units; decimal text only at the public edge.

`amount_minor` counts 10**-scale of an asset. `price_ticks` and `quantity_lots` count an
instrument's tick and lot. No float and no `decimal.Context` rounding anywhere.
"""

from __future__ import annotations

import re

MAX_AMOUNT = 2**63 - 1
PPM = 1_000_000
_DECIMAL = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?", re.ASCII)


class InvalidDecimal(ValueError):
    """Text that is not a plain non-negative decimal of at most 20 + 20 digits."""


class TooPrecise(InvalidDecimal):
    """More significant decimals than the scale can hold."""


def parse_decimal(text: str, scale: int) -> int:
    """Return `text` in units of 10**-scale, exactly.

    Accepts ASCII digits with an optional fraction; no sign, exponent, space or separator.
    Raises TooPrecise when a non-zero digit would be lost, InvalidDecimal otherwise.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise InvalidDecimal(text[:64])
    whole, fraction = match.group(1), (match.group(2) or "").rstrip("0")
    if len(fraction) > scale:
        raise TooPrecise(text[:64])
    return int(whole + fraction.ljust(scale, "0"))


def format_decimal(amount: int, scale: int, places: int = 8) -> str:
    """Return `amount` units of 10**-scale as text with exactly `places` decimals (places >= scale)."""
    if places < scale:
        raise ValueError(f"{places} places cannot show scale {scale}")
    digits = str(abs(amount)) + "0" * (places - scale)
    sign = "-" if amount < 0 else ""
    if places == 0:
        return sign + digits
    digits = digits.rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


def fee_minor(amount_minor: int, rate_ppm: int) -> int:
    """Return the fee on an amount received, rounded up (against the trader) to one minor unit."""
    return -(-amount_minor * rate_ppm // PPM)
