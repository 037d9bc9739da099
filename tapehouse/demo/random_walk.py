"""A price that wanders and comes back; pure, in whole ticks."""

from __future__ import annotations

import random

STEP_PPM = 60
PULL = 400
"""Each step goes back 1/PULL of the way to the anchor, so that no wallet ever runs dry."""


class RandomWalk:
    def __init__(self, rng: random.Random, anchor_ticks: int, start_ticks: int | None = None) -> None:
        self._rng = rng
        self._anchor = anchor_ticks
        self.ticks = start_ticks or anchor_ticks

    def step(self) -> int:
        """Move and return the new price, at least 1 tick."""
        reach = max(self.ticks * STEP_PPM // 1_000_000, 1)
        pull = int((self._anchor - self.ticks) / PULL)
        self.ticks = max(self.ticks + pull + self._rng.randint(-reach, reach), 1)
        return self.ticks
