"""The table of a chaos run: one line a fault; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Row:
    """What one fault, over all its rounds, came to."""

    fault: str
    text: str
    rounds: int = 0
    kills: int = 0
    requests: int = 0
    unknown: int = 0
    lost: int = 0
    doubled: int = 0
    violations: list[str] = field(default_factory=list)
    recoveries_s: list[float] = field(default_factory=list)
    by_service: dict[str, list[float]] = field(default_factory=dict)
    all_true_s: list[float] = field(default_factory=list)
    """From everything killed to every invariant seen to hold."""
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        return {
            "fault": self.fault,
            "text": self.text,
            "rounds": self.rounds,
            "kills": self.kills,
            "requests": self.requests,
            "unknown": self.unknown,
            "lost": self.lost,
            "doubled": self.doubled,
            "violations": self.violations,
            "recovery_s": spread(self.recoveries_s),
            "recovery_by_service_s": {name: spread(found) for name, found in self.by_service.items()},
            "all_true_s": spread(self.all_true_s),
            "notes": self.notes,
        }


HEAD = ("fault", "", "rounds", "kills", "requests", "unknown", "lost", "doubled", "recovery p50", "max", "")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of the values do not exceed; values must not be empty."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1_000) * len(ordered) // 1_000) - 1)]


def spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {
        "count": len(values),
        "min": round(min(values), 3),
        "p50": round(percentile(values, 0.5), 3),
        "p99": round(percentile(values, 0.99), 3),
        "max": round(max(values), 3),
    }


def cells(row: Row) -> tuple[str, ...]:
    p50 = f"{percentile(row.recoveries_s, 0.5):.2f} s" if row.recoveries_s else "-"
    most = f"{max(row.recoveries_s):.2f} s" if row.recoveries_s else "-"
    verdict = "ok" if not row.violations else f"{len(row.violations)} WRONG"
    numbers = (row.rounds, row.kills, row.requests, row.unknown, row.lost, row.doubled)
    return (row.fault, row.text, *map(str, numbers), p50, most, verdict)


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the table as text, the last line its sums."""
    table = [HEAD, *map(cells, rows), cells(total(rows))]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEAD))]
    left = (0, 1, len(HEAD) - 1)
    return [
        "  ".join(
            text.ljust(width) if column in left else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]


def total(rows: Sequence[Row]) -> Row:
    found = Row("all", "")
    for row in rows:
        found.rounds += row.rounds
        found.kills += row.kills
        found.requests += row.requests
        found.unknown += row.unknown
        found.lost += row.lost
        found.doubled += row.doubled
        found.violations += row.violations
        found.recoveries_s += row.recoveries_s
    return found
