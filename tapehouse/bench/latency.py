"""Latencies in an HDR histogram, and what people and machines are told of them."""

from __future__ import annotations

from collections.abc import Iterable

from hdrh.histogram import HdrHistogram

HIGHEST_US = 120_000_000
PERCENTILES = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9))
_BOUNDS_MS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1_000, 2_000, 5_000, 10_000)
_BAR = 40


class Latencies:
    """Microseconds, three significant digits, up to two minutes (what is longer counts as that)."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, HIGHEST_US, 3)

    def record_s(self, seconds: float) -> None:
        self._histogram.record_value(min(max(int(seconds * 1e6), 1), HIGHEST_US))

    @property
    def count(self) -> int:
        return int(self._histogram.get_total_count())

    def summary_ms(self) -> dict[str, float]:
        """Return the percentiles and the maximum in milliseconds; empty without values."""
        if self.count == 0:
            return {}
        found = {
            name: round(self._histogram.get_value_at_percentile(percentile) / 1000, 3)
            for name, percentile in PERCENTILES
        }
        return found | {"max": round(self._histogram.get_max_value() / 1000, 3)}

    def bars(self) -> list[str]:
        """Return a line for each range of milliseconds between the smallest and the largest value."""
        counts = [0] * (len(_BOUNDS_MS) + 1)
        for item in self._histogram.get_recorded_iterator():
            milliseconds = item.value_iterated_to / 1000
            place = sum(1 for bound in _BOUNDS_MS if milliseconds > bound)
            counts[place] += item.count_added_in_this_iter_step
        return draw(counts)


def draw(counts: Iterable[int]) -> list[str]:
    counted = list(counts)
    total, most = sum(counted), max(counted, default=0)
    filled = [place for place, count in enumerate(counted) if count]
    if not filled:
        return []
    lines = []
    for place in range(filled[0], filled[-1] + 1):
        last = place == len(_BOUNDS_MS)
        label = f"> {_BOUNDS_MS[-1]:>6}" if last else f"<= {_BOUNDS_MS[place]:>5}"
        count = counted[place]
        bar = "#" * max(round(_BAR * count / most), 1 if count else 0)
        lines.append(f"{label} ms {count:>8} {100 * count / total:6.2f} % {bar}")
    return lines
