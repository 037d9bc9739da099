"""When a standby suspects the owner, and who yields to whom: decisions only, without clock and log.

The log alone says that an owner is silent: what the standby has computed does not show up in the owner's
output. Who holds a partition is said by the last claim in the log; its place there is the term.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from schemas.events import PartitionClaimed

_LONGEST_STEP_S = 0.02
"""More than this a single look does not add to a silence: who was frozen itself has heard nobody."""
_HALF_LIFE_S = 5.0
_SLOW_S = 2.0
"""Who claims again sooner than this was slow; later: frozen."""


@dataclass(frozen=True, slots=True)
class Patience:
    """A silence is suspect after `factor` times the longest one lately heard, within bounds."""

    least_s: float
    most_s: float
    factor: float


class Suspicion:
    """How long one owner has been silent while something it should have written was waited for."""

    def __init__(self, patience: Patience, now_s: float) -> None:
        self._patience = patience
        self._usual_s = patience.most_s / patience.factor
        self._looked_at_s = now_s
        self._silent_s = 0.0
        self._waited = False

    @property
    def limit_s(self) -> float:
        wanted = self._patience.factor * self._usual_s
        return min(max(wanted, self._patience.least_s), self._patience.most_s)

    @property
    def silent_s(self) -> float:
        return self._silent_s

    def look(self, now_s: float, waits: bool, heard: bool) -> bool:
        """Note whether something is waited for, and whether anything new was heard since the last look.

        Return True when the owner is to be taken for dead.
        """
        passed_s = max(now_s - self._looked_at_s, 0.0)
        self._looked_at_s = now_s
        self._usual_s *= 0.5 ** (passed_s / _HALF_LIFE_S)
        if self._waited:
            self._silent_s += min(passed_s, _LONGEST_STEP_S)
        if heard:
            self._usual_s = max(self._usual_s, self._silent_s)
        if heard or not waits:
            self._silent_s = 0.0
        self._waited = waits
        return waits and self._silent_s >= self.limit_s

    def yielded(self, led_s: float, same_life: bool) -> None:
        """The owner claimed again after we had led for so long; if it only was slow, wait longer now."""
        if same_life and led_s < _SLOW_S:
            self._usual_s = max(self._usual_s, self.limit_s)
        self._silent_s = 0.0
        self._waited = False


class Step(Enum):
    """What a process that writes a partition does when it has seen the last claim."""

    GO_ON = "go on"
    CLAIM_AGAIN = "claim again"
    YIELD = "yield"
    END = "end"


def after_claim(own: PartitionClaimed, last: PartitionClaimed) -> Step:
    """`own` is our last claim, `last` the last one in the log, which is ours or came later.

    A matcher comes before a standby, which only stands in for it. Two matchers of one partition are a
    mistake, or one of them was frozen while its group gave the partition away: the later one holds.
    """
    if last.holder == own.holder:
        return Step.GO_ON
    if own.standby:
        return Step.YIELD
    return Step.CLAIM_AGAIN if last.standby else Step.END
