"""What the requests of one batch may lock: orders, lists and replaces priced, then paid. Pure.

A replace locks what the new order costs beyond what the old one is known to have locked; if the account
has not that much, nothing: then the matcher cancels, and refuses the new order for want of a lock, as
clients expect it.
"""

from __future__ import annotations

from collections import Counter

from processor.ledger import Ledger, WalletKey
from processor.requests import PAYING_THEMSELVES
from processor.reservations import (
    Market,
    Reservation,
    Terms,
    locked_asset,
    locks_of_list,
    reserve,
    still_locked,
    unpaid_leg,
)
from processor.view import KnownOrder, View
from schemas.commands import PlaceOrderList, ReplaceOrder, RequestedOrder
from schemas.instruments import Instruments
from schemas.orders import OrderListKind, Side
from schemas.reasons import RejectReason

_NO_PRICES = Market()


class Funds:
    """Every symbol that is asked about is listed."""

    def __init__(self, view: View, instruments: Instruments) -> None:
        self._markets = view.markets
        self._instruments = instruments
        self._ledger = Ledger(view.available)

    @property
    def locked(self) -> dict[WalletKey, int]:
        return self._ledger.locked

    def market(self, symbol: str) -> Market:
        return self._markets.get(symbol, _NO_PRICES)

    # -- one order --------------------------------------------------------------------------------

    def size(self, order: Terms, account_id: int, symbol: str) -> Reservation | RejectReason:
        instrument = self._instruments.symbols[symbol]
        available = self._ledger.available((account_id, locked_asset(order.side, instrument)))
        return reserve(order, instrument, self.market(symbol), available)

    def lock(self, account_id: int, symbol: str, side: Side, amount_minor: int) -> bool:
        """See `Ledger.lock`."""
        return self._ledger.lock(self._wallet(account_id, symbol, side), amount_minor)

    # -- order lists ------------------------------------------------------------------------------

    def size_list(self, request: PlaceOrderList) -> list[Reservation] | RejectReason:
        """Price every leg as if it were alone, or return the first refusal."""
        sized: list[Reservation] = []
        for number, leg in enumerate(request.legs):
            one = self._size_leg(request, number, leg)
            if isinstance(one, RejectReason):
                return one
            sized.append(one)
        return sized

    def _size_leg(
        self, request: PlaceOrderList, number: int, leg: RequestedOrder
    ) -> Reservation | RejectReason:
        """Price one leg; a pending one as if the working leg's price were the market's."""
        if request.kind is OrderListKind.OCO or number == 0:
            return self.size(leg, request.account_id, request.symbol)
        instrument = self._instruments.symbols[request.symbol]
        market = Market(None, None, request.legs[0].price_ticks)
        if request.kind in PAYING_THEMSELVES:
            return unpaid_leg(leg, instrument, market)
        available = self._ledger.available(self._wallet(request.account_id, request.symbol, leg.side))
        return reserve(leg, instrument, market, available)

    def lock_list(self, request: PlaceOrderList, sized: list[Reservation]) -> int | None:
        """Lock what the list needs and return how much that is; None: too little, nothing was locked."""
        locks = locks_of_list(request.kind, [one.reserved_minor for one in sized])
        needed: Counter[WalletKey] = Counter()
        for leg, amount in zip(request.legs, locks, strict=True):
            needed[self._wallet(request.account_id, request.symbol, leg.side)] += amount
        needed = +needed
        if any(self._ledger.available(wallet) < amount for wallet, amount in needed.items()):
            return None
        for wallet, amount in needed.items():
            self._ledger.lock(wallet, amount)
        return sum(locks)

    # -- replaces ---------------------------------------------------------------------------------

    def size_replace(self, request: ReplaceOrder, target: KnownOrder | None) -> Reservation | RejectReason:
        """Price the new order with what the old one sets free."""
        instrument = self._instruments.symbols[request.symbol]
        wallet = self._wallet(request.account_id, request.symbol, request.order.side)
        available = self._ledger.available(wallet) + self._set_free(request, target)
        return reserve(request.order, instrument, self.market(request.symbol), available)

    def lock_replace(self, request: ReplaceOrder, target: KnownOrder, sized: Reservation) -> int:
        """Lock what the new order costs beyond the old one; return what was locked."""
        needed = max(0, sized.reserved_minor - self._set_free(request, target))
        locked = self.lock(request.account_id, request.symbol, request.order.side, needed)
        return needed if locked else 0

    def _set_free(self, request: ReplaceOrder, target: KnownOrder | None) -> int:
        if target is None or target.side is not request.order.side:
            return 0
        instrument = self._instruments.symbols[request.symbol]
        return still_locked(target.side, target.price_ticks, target.leaves_lots, instrument)

    def _wallet(self, account_id: int, symbol: str, side: Side) -> WalletKey:
        return (account_id, locked_asset(side, self._instruments.symbols[symbol]))
