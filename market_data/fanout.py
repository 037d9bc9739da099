"""Fan-out: a stream's event is encoded once, and the same bytes go to every subscriber.

Knows nothing of sockets: a subscriber is whatever takes frames.
"""

from __future__ import annotations

from typing import Protocol

from market_data.intervals import HOUR_MS, INTERVALS
from schemas.time_unit import event_in_microseconds
from service_runtime.socket_frames import text_frame

ALIASES = ("@1000ms",)
"""Endings that ask for what the name without them means."""


EAST_8 = "@+08:00"
"""Ending of candles by the clock eight hours east."""
_CUT_ALIKE = tuple(
    f"@kline_{name}"
    for name, interval in INTERVALS.items()
    if interval.width_ms and (8 * HOUR_MS) % interval.width_ms == 0
)


class Subscriber(Protocol):
    combined: bool
    """True: events are wrapped in `{"stream", "data"}`."""

    microseconds: bool
    """True: the times in events are in microseconds."""

    def push(self, frame: bytes) -> None:
        """Queue one finished WebSocket frame; must not block and must not raise."""
        ...


def canonical(name: str) -> str:
    """Return the name of the stream that `name` asks for."""
    if name.endswith(EAST_8) and name[: -len(EAST_8)].endswith(_CUT_ALIKE):
        return name[: -len(EAST_8)]
    for ending in ALIASES:
        if name.endswith(ending):
            return name[: -len(ending)]
    return name


class Stream:
    """The subscribers of one stream, each with the name it asked by."""

    def __init__(self) -> None:
        self.subscribers: dict[tuple[Subscriber, str], None] = {}

    def send(self, payload: bytes) -> None:
        """Send a JSON text to all; what several are to get alike is made once."""
        raw: bytes | None = None
        others: dict[tuple[bool, str], bytes] = {}
        finer: bytes | None = None
        for subscriber, name in self.subscribers:
            if not subscriber.combined and not subscriber.microseconds:
                if raw is None:
                    raw = text_frame(payload)
                subscriber.push(raw)
                continue
            wrapped = name if subscriber.combined else ""
            frame = others.get((subscriber.microseconds, wrapped))
            if frame is None:
                if subscriber.microseconds and finer is None:
                    finer = event_in_microseconds(payload)
                said = finer if subscriber.microseconds and finer is not None else payload
                frame = text_frame(
                    b'{"stream":"%b","data":%b}' % (wrapped.encode(), said) if wrapped else said
                )
                others[subscriber.microseconds, wrapped] = frame
            subscriber.push(frame)


class Hub:
    """Every stream that somebody listens to. An unknown name is a stream that stays silent."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}

    def subscribe(self, subscriber: Subscriber, name: str) -> None:
        stream = self.streams.setdefault(canonical(name), Stream())
        stream.subscribers[subscriber, name] = None

    def unsubscribe(self, subscriber: Subscriber, name: str) -> None:
        key = canonical(name)
        stream = self.streams.get(key)
        if stream is not None:
            stream.subscribers.pop((subscriber, name), None)
            if not stream.subscribers:
                del self.streams[key]
