"""One open order list: which leg means what."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.orders import OrderListKind
from tests.simulation.matcher.naive.open_order import Lock, OpenOrder, Where

PAID_BY_WORKING = {OrderListKind.OPO, OrderListKind.OPOCO}


@dataclass(eq=False)
class OpenList:
    list_id: int
    account_id: int
    kind: OrderListKind
    legs: list[OpenOrder]
    receipts: Lock | None = None
    """OPO: what the working order received, locked for the pending legs."""

    @property
    def working(self) -> OpenOrder | None:
        return None if self.kind is OrderListKind.OCO else self.legs[0]

    @property
    def pending(self) -> list[OpenOrder]:
        """Return the legs that still wait for the working order."""
        return [leg for leg in self.legs if leg.where is Where.WAITS_FOR_LIST]

    def open_legs(self) -> list[OpenOrder]:
        return [leg for leg in self.legs if leg.is_open()]

    def sibling(self, leg: OpenOrder) -> OpenOrder | None:
        """Return the other leg of its OCO pair while that is open."""
        pair = self.legs if self.kind is OrderListKind.OCO else self.legs[1:]
        if len(pair) < 2 or leg not in pair:
            return None
        other = pair[1] if leg is pair[0] else pair[0]
        return other if other.is_open() else None
