"""JSON bodies read strictly: one object in UTF-8, each name once, no more than a little deep."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from ingest.management_refusal import ManagementRefusal

MAX_BYTES: Final = 16_384
_MAX_DEPTH: Final = 16


def read_object(body: bytes) -> dict[str, Any]:
    """Return the object. Raises ManagementRefusal (400) for anything else."""
    try:
        found = json.loads(body.decode(), object_pairs_hook=_each_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise invalid_body() from error
    if not isinstance(found, dict) or _depth(found) > _MAX_DEPTH:
        raise invalid_body()
    return found


def invalid_body() -> ManagementRefusal:
    return ManagementRefusal(400, "body_invalid", "the body must be one JSON object")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _depth(value: Any) -> int:
    """Return how deep the value is nested, without recursion."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        deepest = max(deepest, depth)
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        waiting += [(each, depth + 1) for each in inner if isinstance(each, dict | list)]
    return deepest
