"""Columns of values as Postgres array literals, for set-based statements (`unnest`).

A literal is one string for the driver: several times cheaper than a list it must look into.
Cast at the use: `unnest(%s::bigint[], %s::text[])`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

_BYTEA: Final = 17
"""The oid of the type."""


def ints(values: Iterable[int | None]) -> str:
    return "{" + ",".join(["NULL" if v is None else str(v) for v in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """Quote every value; NUL is the one character that Postgres cannot hold."""
    return "{" + ",".join(["NULL" if v is None else _quoted(v) for v in values]) + "}"


def byteas(values: Sequence[bytes]) -> bytes:
    """Return a `bytea[]` in binary form: as text it would be twice as long."""
    head = struct.pack("!iiIii", 1 if values else 0, 0, _BYTEA, len(values), 1)
    if not values:
        return head[:12]
    return head + b"".join([struct.pack("!i", len(value)) + value for value in values])


def _quoted(value: str) -> str:
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'
