"""Where a replay begins and ends, as an analyst says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tapehouse.errors import USAGE, OperatorError

FIRST_EPOCH_MS = 100_000_000_000
"""An integer from here on is a time in milliseconds (1973 and later), below it an offset."""
_WHOLE = re.compile(r"\d{1,18}", re.ASCII)
_OF_PARTITION = re.compile(r"(\d{1,6}):(\d{1,18})", re.ASCII)


class InvalidBound(OperatorError):
    """Text that is neither an offset nor a time."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=USAGE)


@dataclass(frozen=True)
class Bound:
    """A place in every partition; what is not set is not bounded. At most one of the first two is set."""

    offset: int | None = None
    time_ms: int | None = None
    partition_offsets: tuple[tuple[int, int], ...] = ()

    @property
    def given(self) -> bool:
        return self != Bound()

    def offset_of(self, partition: int) -> int | None:
        """Return the offset said for this partition, if any."""
        return dict(self.partition_offsets).get(partition, self.offset)


def parse_bound(option: str, texts: Sequence[str]) -> Bound:
    """Return the bound that the values of one option name. Raises InvalidBound."""
    offset: int | None = None
    time_ms: int | None = None
    partition_offsets: dict[int, int] = {}
    for text in texts:
        pair = _OF_PARTITION.fullmatch(text)
        if pair is not None:
            partition_offsets[int(pair.group(1))] = int(pair.group(2))
        elif offset is not None or time_ms is not None:
            raise InvalidBound(f"{option} {text}: only one offset or time can be given")
        elif _WHOLE.fullmatch(text) and int(text) < FIRST_EPOCH_MS:
            offset = int(text)
        else:
            time_ms = _milliseconds(option, text)
    if time_ms is not None and partition_offsets:
        raise InvalidBound(f"{option}: a time and PARTITION:OFFSET cannot be mixed")
    return Bound(offset, time_ms, tuple(sorted(partition_offsets.items())))


def _milliseconds(option: str, text: str) -> int:
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidBound(
            f"{option} {text}: give an offset (1200), PARTITION:OFFSET (2:1200), "
            "an ISO 8601 time (2021-01-08T00:00:00Z) or Unix milliseconds"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since_epoch.days * 86_400 + since_epoch.seconds) * 1_000 + since_epoch.microseconds // 1_000
