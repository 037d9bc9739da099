"""Parameters as clients send them: query string and form body, read strictly and by name.

Nothing here knows a route. Each reader raises the PublicError that a client expects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote_to_bytes

import orjson

from schemas import public_errors as errors
from schemas.money import InvalidDecimal, TooPrecise, parse_decimal

PUBLIC_PLACES: Final = 8
DECIMAL_RANGE: Final = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
INTEGER_RANGE: Final = r"^[0-9]{1,20}$"
SYMBOL_RANGE: Final = r"^[A-Z0-9-_.]{1,20}$"
CLIENT_ID_RANGE: Final = r"^[a-zA-Z0-9-_.:/]{1,36}$"
MAX_INTEGER: Final = 2**63 - 1
_INTEGER = re.compile(r"[0-9]{1,20}", re.ASCII)
_SYMBOL = re.compile(r"[A-Z0-9\-_.]{1,20}", re.ASCII)
_CLIENT_ID = re.compile(r"[a-zA-Z0-9\-_.:/]{1,36}", re.ASCII)
_NAME_LIMIT: Final = 64


def parse_form(raw: bytes) -> dict[str, str]:
    """Return the pairs of one query string or form body. A name given twice is refused."""
    if not raw:
        return {}
    if b"%" not in raw and b"+" not in raw and raw.isascii():
        return _parse_plain(raw.decode("ascii"))
    values: dict[str, str] = {}
    for part in raw.split(b"&"):
        if not part:
            continue
        name, _, value = part.partition(b"=")
        key = _text(name, "name")
        if key in values:
            raise errors.DUPLICATE_PARAMETER()
        values[key] = _text(value, key)
    return values


def _parse_plain(text: str) -> dict[str, str]:
    """Return the pairs of a form without escapes, which most are."""
    pairs = [part.partition("=") for part in text.split("&") if part]
    values = {name: value for name, _, value in pairs}
    if len(values) != len(pairs):
        raise errors.DUPLICATE_PARAMETER()
    return values


def _text(raw: bytes, name: str) -> str:
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise errors.ILLEGAL_CHARACTERS(name[:_NAME_LIMIT], "UTF-8") from None


class Parameters:
    """The parameters of one request. On a clash the query string wins over the body.

    Optional readers return None for a parameter that was not sent; one that was sent empty is refused.
    """

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    @classmethod
    def parse(cls, query: bytes, body: bytes = b"") -> Parameters:
        if not body:
            return cls(parse_form(query))
        if not query:
            return cls(parse_form(body))
        return cls(parse_form(body) | parse_form(query))

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def has_any(self, names: frozenset[str]) -> bool:
        return not names.isdisjoint(self._values)

    def refuse_unknown(self, known: frozenset[str]) -> None:
        """Raise unless every parameter that was sent is one of these: nothing is silently ignored."""
        if not self._values.keys() <= known:
            read = len(self._values.keys() & known)
            raise errors.UNREAD_PARAMETERS(read, len(self._values))

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value == "":
            raise errors.EMPTY(name)
        return value

    def required(self, name: str) -> str:
        value = self._values.get(name)
        if not value:
            raise errors.MANDATORY(name)
        return value

    def symbol(self, name: str = "symbol") -> str:
        """Return a well-formed symbol; whether it is listed, the caller knows."""
        value = self.required(name)
        if _SYMBOL.fullmatch(value) is None:
            raise errors.ILLEGAL_CHARACTERS(name, SYMBOL_RANGE)
        return value

    def symbols(self, name: str = "symbols") -> list[str] | None:
        """Return a JSON array of symbols, each once."""
        value = self.text(name)
        if value is None:
            return None
        try:
            found = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise errors.INVALID_JSON(name) from None
        if not isinstance(found, list) or not found or not all(isinstance(item, str) for item in found):
            raise errors.INVALID_JSON(name)
        for item in found:
            if _SYMBOL.fullmatch(item) is None:
                raise errors.ILLEGAL_CHARACTERS(name, SYMBOL_RANGE)
        if len(set(found)) != len(found):
            raise errors.SYMBOL_TWICE()
        return found

    def client_id(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is not None and _CLIENT_ID.fullmatch(value) is None:
            if not value:
                orig = name.lower().startswith("orig")
                raise (errors.EMPTY_ORIG_CLIENT_ORDER_ID if orig else errors.EMPTY_NEW_CLIENT_ORDER_ID)()
            raise errors.ILLEGAL_CHARACTERS(name, CLIENT_ID_RANGE)
        return value

    def integer(self, name: str) -> int | None:
        """Return a non-negative integer that fits 63 bits."""
        value = self.text(name)
        if value is None:
            return None
        if _INTEGER.fullmatch(value) is None:
            raise errors.ILLEGAL_CHARACTERS(name, INTEGER_RANGE)
        number = int(value)
        if number > MAX_INTEGER:
            raise errors.OVERFLOWED(name)
        return number

    def limit(self, default: int, maximum: int, name: str = "limit") -> int:
        """Return how many rows to answer: what was asked, but not more than `maximum`."""
        number = self.integer(name)
        if number is None:
            return default
        if number == 0:
            raise errors.INVALID_DATA(name)
        return min(number, maximum)

    def boolean(self, name: str, default: bool = False) -> bool:
        value = self.text(name)
        if value is None:
            return default
        lowered = value.lower()
        if lowered not in ("true", "false"):
            raise errors.ILLEGAL_CHARACTERS(name, "true|false")
        return lowered == "true"

    def choice(
        self, name: str, allowed: Iterable[str], refusal: errors.ErrorKind, *fillings: object
    ) -> str | None:
        value = self.text(name)
        if value is not None and value not in allowed:
            raise refusal(*fillings)
        return value

    def decimal(self, name: str, places: int = PUBLIC_PLACES) -> int | None:
        """Return a plain decimal in units of 10**-places, exactly: no sign, exponent or space."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return parse_decimal(value, places)
        except TooPrecise:
            raise errors.TOO_MUCH_PRECISION(name) from None
        except InvalidDecimal:
            raise errors.ILLEGAL_CHARACTERS(name, DECIMAL_RANGE) from None
