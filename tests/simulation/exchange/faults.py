"""What can go wrong, how often, and where: one countdown over all effects, at zero something goes wrong."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum


class Fault(StrEnum):
    CRASH = "crash"
    FREEZE = "freeze"
    STOP = "stop"
    ALL_CRASH = "everything crashes"
    SPLIT = "ownership moves, the old owner does not know"
    SESSION_LOST = "member thrown out of its group"
    OFFSETS_LOST = "group offsets lost or stale"
    ZOMBIE = "dead process's records arrive late"
    SEND_LOST = "send lost and repeated"
    DELIVERY_UNKNOWN = "delivery unknown, producer breaks"
    DATABASE_GONE = "database connection breaks"
    COMMIT_UNKNOWN = "commit unknown"
    REDIS_ANSWER_LOST = "redis answer lost"
    REDIS_AWAY = "redis away"
    REDIS_FORGETS = "redis forgets everything"
    REDIS_FORGETS_SYMBOL = "redis forgets a symbol"
    REDIS_STALE = "redis as it was before"
    SNAPSHOT_DAMAGED = "snapshot damaged"
    HOT_SNAPSHOT_DAMAGED = "hot snapshot damaged"
    POISON = "poison record"
    DUPLICATE = "record written twice"
    CLOCK = "clock steps"
    REQUEST_UNKNOWN = "request unknown, sent again"


ANYWHERE = {
    Fault.CRASH: 10,
    Fault.FREEZE: 8,
    Fault.STOP: 1,
    Fault.ALL_CRASH: 0.5,
    Fault.SPLIT: 6,
    Fault.SESSION_LOST: 3,
    Fault.OFFSETS_LOST: 4,
    Fault.REDIS_AWAY: 3,
    Fault.REDIS_FORGETS: 3,
    Fault.REDIS_FORGETS_SYMBOL: 3,
    Fault.REDIS_STALE: 4,
    Fault.SNAPSHOT_DAMAGED: 4,
    Fault.HOT_SNAPSHOT_DAMAGED: 4,
    Fault.POISON: 4,
    Fault.DUPLICATE: 8,
    Fault.CLOCK: 2,
}
AT = {
    "send": (Fault.SEND_LOST, 0.05),
    "flush": (Fault.DELIVERY_UNKNOWN, 0.01),
    "statement": (Fault.DATABASE_GONE, 0.01),
    "commit": (Fault.COMMIT_UNKNOWN, 0.03),
    "hot": (Fault.REDIS_ANSWER_LOST, 0.02),
}
"""At these effects, beside what can happen anywhere: what, and with which probability."""


class Faults:
    """The table of one run: the seed chooses the tempers, so that runs differ in what is frequent."""

    def __init__(self, dice: random.Random) -> None:
        self.on = False
        self.counts: Counter[Fault] = Counter()
        self._dice = dice
        self._mean = dice.choice((6, 10, 18, 40))
        tempers = (0, 0.3, 1, 1, 3)
        self._kinds = list(ANYWHERE)
        weights = [weight * dice.choice(tempers) for weight in ANYWHERE.values()]
        weights[0] = weights[0] or 1
        self._weights = weights
        self._at = {place: (kind, chance * dice.choice(tempers)) for place, (kind, chance) in AT.items()}
        self._left = 0
        self._wind()

    def only(self, kinds: Iterable[Fault]) -> None:
        """Let no others happen, and these often."""
        self._kinds = list(kinds)
        self._weights = [1.0] * len(self._kinds)
        self._at = {place: (kind, 0.0) for place, (kind, _) in self._at.items()}

    def _wind(self) -> None:
        self._left = 1 + int(self._dice.expovariate(1 / self._mean))

    def due(self) -> Fault | None:
        """Count one effect; return what goes wrong at it."""
        self._left -= 1
        if self._left > 0 or not self.on:
            return None
        self._wind()
        return self._dice.choices(self._kinds, self._weights)[0]

    def strikes(self, place: str) -> bool:
        """Tell whether the fault of this very place happens; count it."""
        if not self.on:
            return False
        kind, chance = self._at[place]
        if self._dice.random() >= chance:
            return False
        self.counts[kind] += 1
        return True
