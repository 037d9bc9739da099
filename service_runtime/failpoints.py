"""Named places where a test may end the process, as kill -9 would, between one effect and the next.

A failpoint does nothing unless it was armed at start, by a setting or by a file of the process's name.
The file is deleted when it is read, so that the process which is restarted does not die again.
"""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import Final

import structlog

from service_runtime.errors import Fault
from service_runtime.settings import ServiceSettings

EXIT_KILLED: Final = 137
"""What a shell says of a process that SIGKILL ended."""
_WORDS = re.compile(r"([a-z_.]+):([1-9][0-9]{0,8})")
_log = structlog.get_logger("failpoints")


class Failpoint(StrEnum):
    """SERVICE.PLACE: the process ends right there."""

    MATCHER_AFTER_POLL = "matcher.after_poll"
    MATCHER_IN_MATCH = "matcher.in_match"
    MATCHER_BETWEEN_OUTPUTS = "matcher.between_outputs"
    MATCHER_AFTER_PRODUCE = "matcher.after_produce"
    MATCHER_AFTER_HOT_BOOK = "matcher.after_hot_book"
    MATCHER_AFTER_FLUSH = "matcher.after_flush"
    MATCHER_AFTER_REPLIES = "matcher.after_replies"
    MATCHER_IN_SNAPSHOT_CHILD = "matcher.in_snapshot_child"
    MATCHER_IN_SNAPSHOT = "matcher.in_snapshot"
    MATCHER_IN_RECOVERY = "matcher.in_recovery"
    MATCHER_RECOVERY_BEFORE_PRODUCE = "matcher.recovery_before_produce"
    MATCHER_RECOVERY_BEFORE_FLUSH = "matcher.recovery_before_flush"
    MATCHER_RECOVERY_AFTER_FLUSH = "matcher.recovery_after_flush"
    MATCHER_BEFORE_TAKE_OVER = "matcher.before_take_over"
    MATCHER_IN_TAKE_OVER = "matcher.in_take_over"
    MATCHER_AFTER_TAKE_OVER = "matcher.after_take_over"
    PROCESSOR_BEFORE_COMMIT = "processor.before_commit"
    PROCESSOR_AFTER_COMMIT = "processor.after_commit"
    PROCESSOR_BEFORE_REDIS = "processor.before_redis"
    PROCESSOR_AFTER_REDIS = "processor.after_redis"
    PROCESSOR_BEFORE_PRODUCE = "processor.before_produce"
    PROCESSOR_AFTER_PRODUCE = "processor.after_produce"
    PROCESSOR_BEFORE_FLUSH = "processor.before_flush"
    PROCESSOR_AFTER_FLUSH = "processor.after_flush"
    PROCESSOR_RECOVERY_BEFORE_PRODUCE = "processor.recovery_before_produce"
    PROCESSOR_RECOVERY_BEFORE_FLUSH = "processor.recovery_before_flush"
    PROCESSOR_RECOVERY_AFTER_FLUSH = "processor.recovery_after_flush"
    RECORDER_RECOVERY = "recorder.recovery"
    RECORDER_BEFORE_WRITE = "recorder.before_write"
    RECORDER_BEFORE_COPY = "recorder.before_copy"
    RECORDER_BEFORE_COMMIT = "recorder.before_commit"
    RECORDER_AFTER_COMMIT = "recorder.after_commit"
    RECORDER_BEFORE_FLUSH = "recorder.before_flush"
    RECORDER_AFTER_FLUSH = "recorder.after_flush"
    SERVICE_BEFORE_OFFSET_COMMIT = "service.before_offset_commit"
    SERVICE_AFTER_OFFSET_COMMIT = "service.after_offset_commit"
    BARS_RECOVERY = "bars.recovery"
    BARS_BEFORE_PRODUCE = "bars.before_produce"
    BARS_BEFORE_FLUSH = "bars.before_flush"
    BARS_AFTER_FLUSH = "bars.after_flush"
    BARS_AFTER_OFFSET_COMMIT = "bars.after_offset_commit"
    MARKET_DATA_BEFORE_COMMIT = "market_data.before_commit"
    MARKET_DATA_AFTER_COMMIT = "market_data.after_commit"
    CANDLES_BEFORE_PRODUCE = "candles.before_produce"
    CANDLES_AFTER_PRODUCE = "candles.after_produce"
    INGEST_BEFORE_PRODUCE = "ingest.before_produce"
    INGEST_AFTER_PRODUCE = "ingest.after_produce"
    INGEST_AFTER_DELIVERY = "ingest.after_delivery"
    INGEST_BEFORE_ANSWER = "ingest.before_answer"


class UnknownFailpoint(Fault):
    """The words name no failpoint, or are not NAME:COUNT."""


_remaining: dict[str, int] = {}


def arm(words: str) -> None:
    """Arm `name:n`: the n-th reach of that name ends the process. Raises UnknownFailpoint."""
    found = _WORDS.fullmatch(words.strip())
    if found is None or found[1] not in set(Failpoint):
        raise UnknownFailpoint(f"{words!r} is not NAME:COUNT with one of {', '.join(sorted(Failpoint))}")
    _remaining[found[1]] = int(found[2])
    _log.warning("failpoint armed", name=found[1], count=int(found[2]))


def arm_from(settings: ServiceSettings, service: str) -> None:
    """Arm what the settings say, and what a file `SERVICE-INSTANCE` in the failpoint folder says, once."""
    if settings.failpoint:
        arm(settings.failpoint)
    if settings.failpoint_folder is not None:
        file = settings.failpoint_folder / f"{service}-{settings.instance}"
        try:
            words = file.read_text()
            file.unlink()
        except FileNotFoundError:
            return
        arm(words)


def disarm() -> None:
    _remaining.clear()


def reach(failpoint: Failpoint) -> None:
    """End the process without any clean-up, if this was the last of the reaches that were allowed."""
    if not _remaining:
        return
    left = _remaining.get(failpoint)
    if left is None:
        return
    if left <= 1:
        print(f'{{"event": "failpoint reached, process ends", "name": "{failpoint}"}}', flush=True)  # noqa: T201
        os._exit(EXIT_KILLED)
    _remaining[failpoint] = left - 1
