"""Two sets of figures side by side: how much the second is of the first; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

_FIGURE = re.compile(r"(cpu_us|_ms\.|per_s$|bytes_per_order|held_rate|pause_ms)")
"""What is measured, not what was asked for."""
_NOTICEABLE = 0.05


@dataclass(frozen=True)
class Ratio:
    name: str
    before: float
    after: float

    @property
    def ratio(self) -> float | None:
        """None where there was nothing before."""
        return self.after / self.before if self.before else None


def figures(document: Mapping[str, Any]) -> dict[str, float]:
    """Return the measured figures by name; of several runs the median."""
    found: dict[str, list[float]] = {}
    _collect(document, "", found)
    return {name: median(values) for name, values in found.items() if _FIGURE.search(name)}


def _collect(value: Any, name: str, found: dict[str, list[float]]) -> None:
    if isinstance(value, Mapping):
        for key, part in value.items():
            _collect(part, f"{name}.{key}" if name else str(key), found)
    elif isinstance(value, list):
        for part in value:
            _collect(part, f"{name}.{_label(part)}" if _label(part) else name, found)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found.setdefault(name, []).append(float(value))


def _label(part: Any) -> str:
    """What tells an entry of a list from its neighbours; entries without a label are runs of one thing."""
    if not isinstance(part, Mapping):
        return ""
    return "-".join(str(part[key]) for key in ("name", "instances", "size") if key in part)


def ratios(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Ratio]:
    """Return the figures that both have, in the order of the first."""
    one, other = figures(before), figures(after)
    return [Ratio(name, value, other[name]) for name, value in one.items() if name in other]


def lines(found: list[Ratio]) -> list[str]:
    if not found:
        return ["The two have no figure in common."]
    width = max(len(ratio.name) for ratio in found)
    text = [f"{'':<{width}}{'before':>12}{'after':>12}{'ratio':>8}"]
    for one in found:
        ratio = one.ratio
        shown = "-" if ratio is None else f"{ratio:.2f}"
        mark = "" if ratio is None or abs(ratio - 1) < _NOTICEABLE else "  <" if ratio < 1 else "  >"
        text.append(f"{one.name:<{width}}{one.before:>12,.1f}{one.after:>12,.1f}{shown:>8}{mark}")
    return text
