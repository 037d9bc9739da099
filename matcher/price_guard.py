"""At which prices a symbol may trade before a volatility halt."""

from __future__ import annotations

from schemas.instruments import Volatility
from schemas.money import PPM


class PriceGuard:
    """A band around a reference price; None until the first trade ever."""

    __slots__ = ("band_ppm", "high", "low", "now", "reference_ns", "reference_ticks", "window_ns")

    def __init__(self, volatility: Volatility) -> None:
        self.band_ppm = volatility.band_ppm
        self.window_ns = volatility.window_ns
        self.reference_ticks: int | None = None
        self.reference_ns = 0
        self.now = 0
        """The time of the command that is handled."""
        self.low = self.high = 0

    def allows(self, price_ticks: int) -> bool:
        """Tell whether a trade may happen at that price. The first one ever becomes the reference."""
        if self.reference_ticks is None:
            self.refer(price_ticks)
            return True
        return self.low <= price_ticks <= self.high

    def refer(self, price_ticks: int) -> None:
        """Take a new reference, now."""
        self.reference_ticks, self.reference_ns = price_ticks, self.now
        self.low, self.high = self.around(price_ticks)

    def around(self, price_ticks: int) -> tuple[int, int]:
        """Return the lowest and the highest price inside the band around a price."""
        low = -(-price_ticks * (PPM - self.band_ppm) // PPM)
        return low, price_ticks * (PPM + self.band_ppm) // PPM

    def start(self, now: int, last_price_ticks: int) -> None:
        """Begin a command: take the last price as reference when the old one's time is over."""
        self.now = now
        if self.reference_ticks is not None and now >= self.reference_ns + self.window_ns:
            self.refer(last_price_ticks)
