"""Answers and events whose times are in microseconds, for clients that ask for them. Pure.

Everything here is made in milliseconds; of a client that asks otherwise the finished body is rewritten. The
last millisecond of a period becomes its last microsecond; digits below a millisecond are zero otherwise.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from schemas import public_errors as errors

_UNITS: Final = {"MILLISECOND": False, "MICROSECOND": True}
_PER_MS: Final = 1_000
_TIMES: Final = frozenset(
    {
        *("serverTime", "time", "updateTime", "workingTime", "transactTime", "transactionTime", "T"),
        *("openTime", "trailingTime", "authorizedSince", "connectedSince"),
    }
)
_KLINE_COLUMNS: Final = 12
_OPENED, _CLOSED = 0, 6
_OF_EVENTS: Final = ("E", "T")
_MORE_OF_EVENT: Final = {
    "executionReport": ("O", "W", "D"),
    "outboundAccountPosition": ("u",),
}
_TICKER: Final = "Ticker"


def wants_microseconds(unit: str) -> bool:
    """Return whether that is what a client asks for by this name. Raises -1194."""
    wanted = _UNITS.get(unit.upper())
    if wanted is None:
        raise errors.INVALID_TIME_UNIT()
    return wanted


def answer_in_microseconds(body: bytes) -> bytes:
    """Return the body of an answer, of REST or of the WebSocket API."""
    found = orjson.loads(body)
    _rewrite(found)
    return orjson.dumps(found)


def event_in_microseconds(body: bytes) -> bytes:
    """Return the body of an event, of several in an array, or of one that is wrapped."""
    found = orjson.loads(body)
    for event in found if isinstance(found, list) else [found]:
        _rewrite_event(event.get("event", event))
    return orjson.dumps(found)


def _rewrite(value: Any) -> None:
    if isinstance(value, list):
        if len(value) == _KLINE_COLUMNS and isinstance(value[_OPENED], int):
            value[_OPENED], value[_CLOSED] = value[_OPENED] * _PER_MS, _end(value[_CLOSED])
            return
        for one in value:
            _rewrite(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if name in _TIMES:
                value[name] = _microseconds(one)
            elif name == "closeTime":
                value[name] = _end(one)
            elif isinstance(one, (dict, list)):
                _rewrite(one)


def _rewrite_event(event: dict[str, Any]) -> None:
    kind = event.get("e", "")
    for name in (*_OF_EVENTS, *_MORE_OF_EVENT.get(kind, ())):
        if name in event:
            event[name] = _microseconds(event[name])
    if kind == "kline":
        candle = event["k"]
        candle["t"], candle["T"] = candle["t"] * _PER_MS, _end(candle["T"])
    elif kind.endswith(_TICKER) and "O" in event:
        event["O"], event["C"] = event["O"] * _PER_MS, _end(event["C"])


def _microseconds(time_ms: Any) -> Any:
    """Return the time; what stands for none, -1 or 0, stays."""
    return time_ms * _PER_MS if isinstance(time_ms, int) and time_ms > 0 else time_ms


def _end(time_ms: int) -> int:
    """Return the end of a period, in whose last microsecond it ends."""
    last = _PER_MS - 1
    return time_ms * _PER_MS + (last if time_ms % _PER_MS == last else 0)
