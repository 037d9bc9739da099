"""One request and its answer, as the routes see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from msgspec import Struct

from schemas.public_wire import JSON_TYPE, encode

Headers = list[tuple[bytes, bytes]]


class Request(Struct, frozen=True, gc=False):
    method: str
    path: str
    query: bytes
    body: bytes
    address: str
    """The peer's own address: forwarding headers are not believed."""
    api_key: bytes | None
    received_ns: int
    signed: tuple[bytes, ...] | None = None
    """What the signature may be over; None: query and body as received."""
    logged_on: bool = False
    """The connection has proved whose it is; a signature is not asked for again."""
    values: dict[str, str] | None = None
    """The parameters, when they did not come as text; `query` says the same."""
    weight: int = 1
    """What it weighs: set by the edge when it has been counted for its address."""


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Headers
    content_type: bytes = JSON_TYPE


Handler = Callable[[Request], Awaitable[Answer]]


class Route(NamedTuple):
    """What answers (method, path), and what it weighs."""

    handler: Handler
    weight: int = 1
    weigh: Callable[[Request], int] | None = None
    """For routes whose weight depends on the parameters; wins over `weight`."""


def ok(body: Any, headers: Headers | None = None) -> Answer:
    return Answer(200, encode(body), headers or [])
