"""Poison records go to `dead-letters`, whole, and the stream goes on (rule R8)."""

from __future__ import annotations

from base64 import b64encode

import structlog

from schemas.codec import encode
from schemas.events import DeadLetter
from schemas.reasons import PoisonReason
from schemas.topics import DEAD_LETTERS
from service_runtime import telemetry
from service_runtime.event_log import EventLog, Record

_log = structlog.get_logger("dead_letter")
_MOST_BYTES = 512 * 1024
_MOST_DETAIL = 500


class DeadLetters:
    """Writes dead letters. The id names the source, so that a second one for it is a duplicate."""

    def __init__(self, log: EventLog, service: str) -> None:
        self._event_log = log
        self._service = service

    def send(self, record: Record, reason: PoisonReason, detail: str) -> None:
        """Append the letter; the caller's next flush stores it. At most 512 KiB of the record are kept."""
        source = f"{record.topic}-{record.partition}-{record.offset}"
        letter = DeadLetter(
            event_id=f"dead-{self._service}-{source}",
            correlation_id=source,
            causation_id=source,
            occurred_at_ns=record.timestamp_ms * 1_000_000,
            source_topic=record.topic,
            source_partition=record.partition,
            source_offset=record.offset,
            service=self._service,
            reason=reason,
            detail=detail[:_MOST_DETAIL],
            raw_base64=b64encode(record.value[:_MOST_BYTES]).decode(),
        )
        _log.warning(
            "record sent to dead letters",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=reason,
            detail=detail[:_MOST_DETAIL],
        )
        telemetry.DEAD_LETTER_RECORDS.inc()
        self._event_log.append(DEAD_LETTERS, 0, encode(letter), source.encode())
