"""Every account's balances from the topics alone. Pure, and on purpose not the recorder's code.

Amounts add up in any order, so each kind of record is taken as its topic is scanned.
"""

from __future__ import annotations

from schemas.commands import EnterOrder, EnterOrderList, ReplaceRestingOrder
from schemas.events import CommandMatched, MatchPrevented, Releasing, TradeExecuted
from schemas.instruments import Instruments
from schemas.orders import OrderListKind, Side

OUTSIDE, FEES = 1, 2
WalletKey = tuple[int, str]


class Balances:
    """(account, asset) -> available and locked, minor units."""

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self.available: dict[WalletKey, int] = {}
        self.locked: dict[WalletKey, int] = {}

    def deposit(self, account_id: int, asset: str, amount_minor: int) -> None:
        self._add(OUTSIDE, asset, -amount_minor, 0)
        self._add(account_id, asset, amount_minor, 0)

    def reserve(self, command: EnterOrder | EnterOrderList | ReplaceRestingOrder) -> None:
        if isinstance(command, EnterOrderList):
            for side, amount in _locks(command):
                self._lock(command.account_id, command.symbol, side, amount)
        else:
            side = command.side if isinstance(command, EnterOrder) else command.order.side
            self._lock(command.account_id, command.symbol, side, command.reserved_minor)

    def _lock(self, account_id: int, symbol: str, side: Side, amount_minor: int) -> None:
        self._add(account_id, self._spent(symbol, side), -amount_minor, amount_minor)

    def trade(self, trade: TradeExecuted) -> None:
        instrument = self._instruments[trade.symbol]
        base, quote = instrument.base.name, instrument.quote.name
        improvement = trade.buyer_lock_minor - trade.quote_minor
        self._add(trade.buyer_account_id, quote, improvement, -trade.buyer_lock_minor)
        received = trade.base_minor - trade.buyer_fee_minor
        locked = received if trade.buyer_receipt_locked else 0
        self._add(trade.buyer_account_id, base, received - locked, locked)
        self._add(trade.seller_account_id, base, 0, -trade.base_minor)
        self._add(trade.seller_account_id, quote, trade.quote_minor - trade.seller_fee_minor, 0)
        self._add(FEES, base, trade.buyer_fee_minor, 0)
        self._add(FEES, quote, trade.seller_fee_minor, 0)

    def release(self, matched: CommandMatched) -> None:
        for event in matched.events:
            if isinstance(event, Releasing):
                if event.released_minor and event.side is not None:
                    self._lock(event.account_id, matched.symbol, event.side, -event.released_minor)
            elif isinstance(event, MatchPrevented):
                taker, account_id = event.taker_side, event.account_id
                maker = Side.SELL if taker is Side.BUY else Side.BUY
                self._lock(account_id, matched.symbol, taker, -event.taker_released_minor)
                self._lock(account_id, matched.symbol, maker, -event.maker_released_minor)

    def rows(self) -> dict[WalletKey, tuple[int, int]]:
        """Return every wallet that is not empty."""
        keys = self.available.keys() | self.locked.keys()
        pairs = {key: (self.available.get(key, 0), self.locked.get(key, 0)) for key in keys}
        return {key: pair for key, pair in pairs.items() if pair != (0, 0)}

    def _spent(self, symbol: str, side: Side) -> str:
        instrument = self._instruments[symbol]
        return instrument.quote.name if side is Side.BUY else instrument.base.name

    def _add(self, account_id: int, asset: str, available: int, locked: int) -> None:
        key = (account_id, asset)
        self.available[key] = self.available.get(key, 0) + available
        self.locked[key] = self.locked.get(key, 0) + locked


def _locks(entered: EnterOrderList) -> list[tuple[Side, int]]:
    """Return what an order list locks: the larger leg of a pair, and whatever stands beside the pair."""
    first, *others = [(leg.side, leg.reserved_minor) for leg in entered.legs]
    dearest = max(others, key=lambda lock: lock[1])
    if entered.kind is OrderListKind.OCO:
        return [max(first, dearest, key=lambda lock: lock[1])]
    if entered.kind in (OrderListKind.OTO, OrderListKind.OTOCO):
        return [first, dearest]
    return [first]
