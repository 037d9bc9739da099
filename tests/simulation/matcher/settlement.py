"""Money by the events alone: every lock is used or released once, and nothing is left when its orders end."""

from __future__ import annotations

from collections import Counter

from schemas import commands as c
from schemas import events as e
from schemas.orders import OrderListKind, Side
from tests.simulation.matcher.envelope import Command

Lock = tuple[str, int, Side]
"""What it belongs to, the id of that, the side whose asset it is."""
Ending = e.OrderFilled | e.OrderCanceled | e.OrderExpired | e.OrderRefused


class Settlement:
    def __init__(self) -> None:
        self.locked: Counter[Lock] = Counter()
        self.lock_of: dict[int, Lock] = {}
        """Open order -> its lock."""
        self.receipts: dict[int, Lock] = {}
        """Open working order of an OPO -> where what it receives is locked."""
        self.fresh: set[int] = set()
        """Orders that entered or were activated in this record."""
        self.carried_minor = 0

    def settle(self, command: Command, record: e.CommandMatched) -> None:
        self.fresh, self.carried_minor = set(), 0
        for event in record.events:
            self._settle(event, command)
        in_use = {*self.lock_of.values(), *self.receipts.values()}
        for lock, amount in list(self.locked.items()):
            assert amount >= 0, f"{lock} is {amount}"
            if lock not in in_use:
                assert amount == 0, f"{lock} ended with {amount} locked"
                del self.locked[lock]

    def _settle(self, event: e.BookEvent, command: Command) -> None:
        match event:
            case e.OrderListEntered():
                assert isinstance(command, c.EnterOrderList)
                self._reserve_list(command)
            case e.OrderEntered():
                self.fresh.add(event.order_id)
                if isinstance(command, c.EnterOrder | c.ReplaceRestingOrder):
                    lock = ("order", event.order_id, event.side)
                    self._open(event.order_id, lock, command.reserved_minor + self.carried_minor)
            case e.OrderActivated():
                self.fresh.add(event.order_id)
                self._release(event.order_id, event.released_minor)
            case e.OrdersTraded():
                self._trade(event)
            case e.MatchPrevented():
                self._release(event.taker_order_id, event.taker_released_minor)
                self._release(event.maker_order_id, event.maker_released_minor)
            case e.OrderMoved() | e.OrderAmended():
                if isinstance(command, c.MoveRestingOrder):
                    self.locked[self.lock_of[event.order_id]] += command.reserved_minor
                self._release(event.order_id, event.released_minor)
            case e.OrderRefused() if event.order_id not in self.fresh:
                assert isinstance(command, c.EnterOrder | c.ReplaceRestingOrder)
                assert event.released_minor == command.reserved_minor
            case e.OrderFilled() | e.OrderCanceled() | e.OrderExpired() | e.OrderRefused():
                self._end(event)
            case e.OrderListRefused():
                assert isinstance(command, c.EnterOrderList)
                assert event.released_minor == command.reserved_minor
            case e.ChangeRefused():
                reserved = command.reserved_minor if isinstance(command, c.MoveRestingOrder) else 0
                assert event.released_minor == reserved

    def _reserve_list(self, command: c.EnterOrderList) -> None:
        needs = [leg.reserved_minor for leg in command.legs]
        one_lock = command.kind is OrderListKind.OCO
        for place, leg in enumerate(command.legs):
            what = "list" if one_lock or place == 0 else "pending"
            self._open(leg.order_id, (what, command.list_id, leg.side), 0)
        first, last = (self.lock_of[leg.order_id] for leg in (command.legs[0], command.legs[-1]))
        self.locked[first] += max(needs) if one_lock else needs[0]
        self.locked[last] += 0 if one_lock else max(needs[1:])
        if command.kind in (OrderListKind.OPO, OrderListKind.OPOCO):
            self.receipts[command.legs[0].order_id] = last

    def _open(self, order_id: int, lock: Lock, amount_minor: int) -> None:
        assert order_id not in self.lock_of
        self.lock_of[order_id] = lock
        self.locked[lock] += amount_minor

    def _release(self, order_id: int, amount_minor: int) -> None:
        assert amount_minor >= 0
        self.locked[self.lock_of[order_id]] -= amount_minor

    def _end(self, event: Ending) -> None:
        self._release(event.order_id, event.released_minor)
        lock = self.lock_of.pop(event.order_id)
        self.receipts.pop(event.order_id, None)
        if isinstance(event, e.OrderCanceled):
            self.locked[lock] -= event.carried_minor
            self.carried_minor += event.carried_minor

    def _trade(self, trade: e.OrdersTraded) -> None:
        pair = (trade.taker_order_id, trade.taker_fee_minor), (trade.maker_order_id, trade.maker_fee_minor)
        (buyer, buyer_fee), (seller, seller_fee) = pair if trade.taker_side is Side.BUY else pair[::-1]
        assert trade.quote_minor <= trade.buyer_lock_minor
        assert 0 <= buyer_fee <= trade.base_minor
        assert 0 <= seller_fee <= trade.quote_minor
        self.locked[self.lock_of[buyer]] -= trade.buyer_lock_minor
        self.locked[self.lock_of[seller]] -= trade.base_minor
        assert trade.buyer_receipt_locked == (buyer in self.receipts)
        if buyer in self.receipts:
            self.locked[self.receipts[buyer]] += trade.base_minor - buyer_fee
