"""What a benchmark tells people and machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tapehouse.bench.shots import Tally


@dataclass
class Run:
    """One measured load."""

    rate: float
    """Orders a second that were due; in a closed loop what the limits had to allow."""
    seconds: float
    warmup_s: float
    accounts: int
    symbols: tuple[str, ...]
    tally: Tally
    cpu_s: Mapping[str, float]
    """Seconds of processor time while it was measured, by process."""
    window_s: float
    """For how long that was: until the last answer came or was given up, longer than `seconds` if late."""
    audit: dict[str, Any] = field(default_factory=dict)
    way: str = "HTTP"
    """By which the orders came in."""
    concurrency: int | None = None
    """Of a closed loop: so many orders were under way."""

    @property
    def clean(self) -> bool:
        """Nothing refused, nothing unknown, nothing left over."""
        return self.tally.accepted == self.tally.due

    def document(self) -> dict[str, Any]:
        tally = self.tally
        answered = max(tally.answered, 1)
        cpu = {name: round(1e6 * used / answered, 1) for name, used in self.cpu_s.items()}
        return {
            "way": self.way,
            "rate": self.rate,
            "concurrency": self.concurrency,
            "seconds": self.seconds,
            "warmup_s": self.warmup_s,
            "accounts": self.accounts,
            "symbols": list(self.symbols),
            "due": tally.due,
            "sent": tally.sent,
            "answered": tally.answered,
            "accepted": tally.accepted,
            "carried_per_s": round(tally.accepted / tally.span_s, 1) if tally.span_s > 0 else 0.0,
            "refused": tally.refused,
            "trades": tally.trades,
            "trades_not_streamed": tally.unseen_trades,
            "answer_ms": tally.answer.summary_ms(),
            "trade_ms": tally.trade.summary_ms(),
            "lateness_ms": tally.lateness.summary_ms(),
            "cpu_us_per_order": cpu,
            "cpu_us_per_order_total": round(sum(cpu.values()), 1),
            "processors_used": round(sum(self.cpu_s.values()) / max(self.window_s, 1e-9), 3),
            "audit": self.audit,
        }

    def lines(self) -> list[str]:
        found = self.document()
        lines = [
            f"{load_text(self.rate, self.concurrency)} by {self.way} for {self.seconds:g} s "
            f"after {self.warmup_s:g} s of warm-up; {self.accounts} accounts, {', '.join(self.symbols)}",
            f"sent {found['sent']}  accepted {found['accepted']}  trades {found['trades']}"
            f"  (not streamed in time: {found['trades_not_streamed']})"
            f"  carried {found['carried_per_s']:.0f} orders/s",
        ]
        if never := found["due"] - found["sent"]:
            lines.append(
                f"  never left {never} of {found['due']}: every connection was still waiting for an answer"
            )
        lines += [f"  refused {count}: {why}" for why, count in found["refused"].items()]
        lines.append("")
        lines.append(f"{'milliseconds':<28}" + "".join(f"{name:>9}" for name in _COLUMNS))
        for title, name in (
            ("FULL answer", "answer_ms"),
            ("order to trade on stream", "trade_ms"),
            ("generator's own lateness", "lateness_ms"),
        ):
            values = found[name]
            cells = "".join(f"{values[c]:>9.2f}" if c in values else f"{'-':>9}" for c in _COLUMNS)
            lines.append(f"{title:<28}{cells}")
        lines += [
            "",
            "FULL answer",
            *self.tally.answer.bars(),
            "",
            "processor, microseconds an answered order",
        ]
        lines += [f"  {name:<20}{used:>9.1f}" for name, used in found["cpu_us_per_order"].items()]
        total, busy = found["cpu_us_per_order_total"], found["processors_used"]
        lines.append(f"  {'all':<20}{total:>9.1f}   ({busy:.2f} processors)")
        if self.audit:
            lines += ["", f"audit: {'clean' if self.audit['clean'] else 'DIFFERS'} {self.audit['text']}"]
        return lines


def load_text(rate: float, concurrency: int | None) -> str:
    return f"{rate:g} orders/s" if concurrency is None else f"{concurrency} orders under way"


_COLUMNS = ("p50", "p90", "p99", "p99.9", "max")


def spread(documents: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return min, median and max over several runs: each percentile, what was carried, what it cost."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in ("answer_ms", "trade_ms", "cpu_us_per_order"):
        for column in dict.fromkeys(column for document in documents for column in document[name]):
            _add(found, name, column, [document[name].get(column) for document in documents])
    for column in ("carried_per_s", "cpu_us_per_order_total"):
        _add(found, "all", column, [document[column] for document in documents])
    return found


def _add(
    found: dict[str, dict[str, dict[str, float]]], name: str, column: str, values: Sequence[float | None]
) -> None:
    known = [value for value in values if value is not None]
    if known:
        figures = {"min": min(known), "median": median(known), "max": max(known)}
        found.setdefault(name, {})[column] = figures


def spread_lines(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    lines = ["", f"{'min / median / max over runs':<30}"]
    for name, columns in found.items():
        for column, figures in columns.items():
            text = " / ".join(f"{figures[key]:.2f}" for key in ("min", "median", "max"))
            lines.append(f"  {name:<17}{column:<24}{text}")
    return lines


class RateSearch:
    """The highest rate that holds: up by a quarter until one fails, then halves of the gap; pure."""

    def __init__(self, first: float, refinements: int = 3) -> None:
        self.held: float | None = None
        self.failed: float | None = None
        self._next: float | None = first
        self._left = refinements

    @property
    def rate(self) -> float | None:
        """The rate to try next; None: the search is over."""
        return self._next

    def tell(self, *, held: bool) -> None:
        tried = self._next
        assert tried is not None
        if held:
            self.held = tried
        else:
            self.failed = tried
        if self.failed is None:
            self._next = round(tried * 1.25)
        elif self.held is None:
            self._next = round(tried / 2) if tried > 20 else None
        elif self._left and self.failed - self.held > 0.05 * self.held:
            self._left -= 1
            self._next = round((self.held + self.failed) / 2)
        else:
            self._next = None
