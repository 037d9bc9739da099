"""What every record on every topic carries."""

from __future__ import annotations

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False):
    """A typed part of a record; `type` is `<Name>.v<major>`. Unset fields are absent, never 0."""


class Envelope(Message, frozen=True, kw_only=True):
    """Identity and cause of a record.

    Offsets and `sequence` order a replay; `occurred_at_ns` (Unix, UTC) only explains.
    A W3C `traceparent` travels in the Kafka headers: replay does not need it.
    """

    event_id: str
    correlation_id: str
    """One per client request; every record the request leads to repeats it."""
    causation_id: str
    """`event_id` of the record that led to this one; a request names itself."""
    occurred_at_ns: int
