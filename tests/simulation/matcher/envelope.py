"""The outer fields of commands: each takes the next offset of the input and of one source."""

from __future__ import annotations

from typing import Any, TypeAlias

from schemas.commands import VALIDATED_ORDERS
from tests.simulation.matcher.market import T0

Command: TypeAlias = VALIDATED_ORDERS


def envelope(number: int, account_id: int, now_ns: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": f"command-{number}",
        "correlation_id": f"request-{number}",
        "causation_id": f"request-{number}",
        "occurred_at_ns": T0 + now_ns,
        "source_partition": 0,
        "source_offset": number,
        "account_id": account_id,
        "symbol": "XY",
        **changes,
    }
