"""What a batch emits, as bytes: stored in Postgres with the decisions, then appended to the log."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from processor.outcomes import Outcome
from processor.requests import Received
from schemas.codec import encode
from schemas.events import RequestRejected
from schemas.topics import ORDER_REPLIES, VALIDATED_ORDERS, TopicMap


class Emission(msgspec.Struct, frozen=True, array_like=True, gc=False):
    topic: str
    partition: int
    key: bytes | None
    value: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Emission]).decode


def emissions(
    received: Sequence[Received], outcomes: Sequence[Outcome], topics: TopicMap
) -> dict[int, list[Emission]]:
    """Return what goes out by source partition, in order. A rejection nobody waits for goes nowhere."""
    out: dict[int, list[Emission]] = {}
    for one, outcome in zip(received, outcomes, strict=True):
        if not isinstance(outcome, RequestRejected):
            partition = topics.symbols[outcome.symbol]
            emission = Emission(VALIDATED_ORDERS, partition, outcome.symbol.encode(), encode(outcome))
        elif (waiting := one.request.reply_partition) is not None:
            emission = Emission(ORDER_REPLIES, waiting, None, encode(outcome))
        else:
            continue
        out.setdefault(one.partition, []).append(emission)
    return out


def pack(batch: list[Emission]) -> bytes:
    return _encode(batch)


def unpack(data: bytes | None) -> list[Emission]:
    return [] if data is None else _decode(data)
