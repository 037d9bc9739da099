"""What is refused before acceptance when there is more work under way than can be answered in time."""

from __future__ import annotations

from typing import Final

from schemas import public_errors as errors
from schemas.commands import CancelAllOrders, CancelOrder, CancelOrderList, OrderRequest

_CANCELS: Final = (CancelOrder, CancelAllOrders, CancelOrderList)


class Shedding:
    """Bounds on requests that are in the log and not answered. Cancels have a higher one: they only free."""

    def __init__(self, orders: int, cancels: int) -> None:
        self._orders = orders
        self._cancels = max(orders, cancels)

    def admit(self, command: OrderRequest, unanswered: int) -> None:
        """Raise -1008 (503, Retry-After) if the command must wait outside."""
        most = self._cancels if isinstance(command, _CANCELS) else self._orders
        if unanswered >= most:
            raise errors.OVERLOADED(retry_after=errors.RETRY_AFTER_S)
