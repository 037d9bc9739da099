"""Order lists: which legs wait for which, and what is locked for them together."""

from __future__ import annotations

from matcher.order import Order
from schemas.orders import OrderListKind, OrderType, Side

_OCO = OrderListKind.OCO
PAIRS = frozenset({_OCO, OrderListKind.OTOCO, OrderListKind.OPOCO})
PAID = frozenset({OrderListKind.OPO, OrderListKind.OPOCO})
LEGS = {_OCO: 2, OrderListKind.OTO: 2, OrderListKind.OTOCO: 3, OrderListKind.OPO: 2, OrderListKind.OPOCO: 3}
TAKES_PROFIT = frozenset({OrderType.LIMIT_MAKER, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT})
STOPS_LOSS = frozenset({OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT})


class OrderList:
    """`legs` as the command had them, ended ones too. `shared_minor` is locked for the OCO pair as one;
    `received_minor` is what an OPO's working order received, locked until the pending legs are due."""

    __slots__ = (
        "account_id",
        "client_order_id",
        "due",
        "kind",
        "legs",
        "list_id",
        "received_minor",
        "shared_minor",
    )

    def __init__(
        self, list_id: int, account_id: int, kind: OrderListKind, client_order_id: str, legs: list[Order]
    ) -> None:
        self.list_id = list_id
        self.account_id = account_id
        self.kind = kind
        self.client_order_id = client_order_id
        self.legs = legs
        self.shared_minor = 0
        self.received_minor = 0
        self.due = kind is _OCO
        """No leg waits for the working order any more."""

    @property
    def working(self) -> Order | None:
        return None if self.kind is _OCO else self.legs[0]

    @property
    def pending(self) -> list[Order]:
        """The legs that wait, or waited, for the working order."""
        return [] if self.kind is _OCO else self.legs[1:]

    @property
    def pair(self) -> list[Order]:
        """The two legs of which one cancels the other; or none."""
        return self.legs[-2:] if self.kind in PAIRS else []

    @property
    def paid(self) -> bool:
        """Whether the pending legs sell what the working order received."""
        return self.kind in PAID

    def open_legs(self) -> list[Order]:
        return [leg for leg in self.legs if not leg.ended]

    def sibling(self, leg: Order) -> Order | None:
        """Return the other leg of an OCO pair."""
        for other, mine in ((0, 1), (1, 0)):
            pair = self.pair
            if pair and pair[mine] is leg:
                return pair[other]
        return None


def enclosing(above: Order, below: Order, last_price_ticks: int) -> bool:
    """Tell whether the prices of an OCO pair enclose the last trade's."""
    high, low = _price(above), _price(below)
    if last_price_ticks:
        return (high is None or high > last_price_ticks) and (low is None or low < last_price_ticks)
    return high is None or low is None or high > low


def _price(leg: Order) -> int | None:
    """Return the price that stands for a leg: its limit, or its stop price if it has one."""
    return leg.price_ticks if leg.order_type is OrderType.LIMIT_MAKER else leg.special().stop_price_ticks


def is_pair(above: tuple[Side, OrderType, int | None], below: tuple[Side, OrderType, int | None]) -> bool:
    """Tell whether two legs, as (side, type, quantity), make an OCO pair."""
    if above[0] is not below[0] or above[2] != below[2]:
        return False
    profit, loss = (above, below) if above[0] is Side.SELL else (below, above)
    return profit[1] in TAKES_PROFIT and loss[1] in STOPS_LOSS
