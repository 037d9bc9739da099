"""The bytes of answers: id as it came, status, result or error, and the limits as they stand."""

from __future__ import annotations

from typing import Any, Final

import orjson

from ingest.http_exchange import Headers
from schemas.public_errors import PublicError
from schemas.public_wire import NS_PER_MS

_ORDER_COUNT: Final = b"x-mbx-order-count-"
_WINDOWS: Final = {b"10s": ("SECOND", 10), b"1d": ("DAY", 1)}
_GOOD: Final = 200


class LimitRows:
    """`rateLimits` of answers, made from what exchangeInfo publishes."""

    def __init__(self, published: list[dict[str, Any]]) -> None:
        rows = {(row["rateLimitType"], row["interval"], row["intervalNum"]): row for row in published}
        self._weight = _open(rows["REQUEST_WEIGHT", "MINUTE", 1])
        self._orders = {
            _ORDER_COUNT + short: _open(rows["ORDERS", *window]) for short, window in _WINDOWS.items()
        }

    def text(self, used_weight: int, headers: Headers) -> bytes:
        """Return the rows: orders first, when the answer counted one, then weight."""
        orders = b""
        for name, value in headers:
            row = self._orders.get(name)
            if row is not None:
                orders += b"%b%b}," % (row, value)
        return b"[%b%b%d}]" % (orders, self._weight, used_weight)


def _open(row: dict[str, Any]) -> bytes:
    """Return the row's JSON up to where its count belongs."""
    return orjson.dumps(row)[:-1] + b',"count":'


def id_text(request_id: int | str | None) -> bytes:
    return orjson.dumps(request_id)


def frame_text(request_id: bytes, status: int, body: bytes, limits: bytes | None) -> bytes:
    """Return an answer; `body` is the REST twin's."""
    what = b"result" if status == _GOOD else b"error"
    tail = b"}" if limits is None else b',"rateLimits":%b}' % limits
    return b'{"id":%b,"status":%d,"%b":%b%b' % (request_id, status, what, body, tail)


def refusal_body(refusal: PublicError, now_ns: int) -> bytes:
    """Return the error, with the time to come back at if it is one of limits."""
    if refusal.retry_after is None or refusal.status not in (418, 429):
        return refusal.body()
    now_ms = now_ns // NS_PER_MS
    data = {"serverTime": now_ms, "retryAfter": now_ms + refusal.retry_after * 1000}
    return orjson.dumps({**orjson.loads(refusal.body()), "data": data})
