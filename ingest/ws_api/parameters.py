"""Parameters that came as JSON: as texts, as a query string, and as what their signature is over. Pure."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from schemas import public_errors as errors

MAX_ID_LENGTH: Final = 64
_MAX_INTEGER: Final = 2**63
_PLAIN = re.compile(r"[A-Za-z0-9_.~=&-]*", re.ASCII)
_TEXTS: Final = {True: "true", False: "false"}
NOT_ASKED: Final = frozenset({"apiKey", "returnRateLimits"})
"""Parameters that no route knows."""
_NOT_ASKED_PARTS: Final = tuple(f"{name}=" for name in sorted(NOT_ASKED))


class SocketRequest(msgspec.Struct, gc=False):
    """One message, not yet checked."""

    id: Any = None
    method: Any = None
    params: Any = None


class Fraction(str):
    """A number with a fraction, as the text it was sent as: that is what was signed."""

    __slots__ = ()


decode: Final = msgspec.json.Decoder(SocketRequest, float_hook=Fraction).decode


def checked_id(value: Any) -> int | str | None:
    """Return what an answer repeats. Raises -1130 for what is no id."""
    if value is None or (type(value) is str and len(value) <= MAX_ID_LENGTH):
        return value
    if type(value) is int and -_MAX_INTEGER <= value < _MAX_INTEGER:
        return value
    raise errors.INVALID_DATA("id")


def as_texts(parameters: Any) -> dict[str, str]:
    """Return each parameter as the text that REST would have got. Raises -1130 for what is no object."""
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise errors.INVALID_DATA("params")
    return {name: v if type(v) is str else _text(v) for name, v in parameters.items()}


def _text(value: Any) -> str:
    if value is True or value is False:
        return _TEXTS[value]
    if type(value) in (int, Fraction):
        return str(value)
    return "" if value is None else msgspec.json.encode(value).decode()


class Encoded(NamedTuple):
    """The parameters of one request as bytes."""

    signed: tuple[bytes, ...]
    """What the signature may be over: all but itself, by name, as they are or percent-encoded. ccxt and
    hummingbot sign the texts, python-binance and Binance's own client what urlencode makes of them."""
    query: bytes
    """The query string of the REST twin: what says who asks is not in it."""


def encoded(texts: dict[str, str]) -> Encoded:
    pairs = [(name, texts[name]) for name in sorted(texts) if name != "signature"]
    parts = [f"{name}={value}" for name, value in pairs]
    raw = "&".join(parts)
    asked = pairs if NOT_ASKED.isdisjoint(texts) else [pair for pair in pairs if pair[0] not in NOT_ASKED]
    if _PLAIN.fullmatch(raw) is None or raw.count("=") != len(parts) or raw.count("&") != len(parts) - 1:
        signed = (raw.encode(), urlencode(pairs).encode(), urlencode(pairs, quote_via=quote).encode())
        return Encoded(signed, urlencode(asked).encode())
    query = raw if asked is pairs else "&".join([p for p in parts if not p.startswith(_NOT_ASKED_PARTS)])
    return Encoded((raw.encode(),), query.encode())
