"""What one batch of the matcher does to a symbol's hot book. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from schemas.hot_book import OpenOrder, key
from schemas.orders import MarketState, Side

_encode = msgspec.json.encode


@dataclass(slots=True)
class BookChange:
    """What one batch does to a symbol's hot book, or a part of all that is in it.

    Parts have one `building` name and follow each other, the first one `begins`, the last one `ends` and
    writes the stamp. Until then there is no hot book; batches between name `building` too.
    """

    symbol: str
    first_sequence: int
    sequence: int
    record_hash: str
    partition: int
    offset: int
    update_id: int
    trade_id: int
    last_price_ticks: int | None = None
    state: MarketState = MarketState.TRADING
    until_ns: int | None = None
    building: str = ""
    begins: bool = False
    takes_over: bool = False
    """Begin though another writer is building."""
    ends: bool = False
    set_orders: dict[int, OpenOrder] = field(default_factory=dict)
    gone_orders: dict[int, int] = field(default_factory=dict)
    """order id -> account id; wins over `set_orders`."""
    levels: dict[tuple[Side, int], int] = field(default_factory=dict)
    """(side, price in ticks) -> total lots, 0 = gone."""
    seen: dict[int, tuple[int, int]] = field(default_factory=dict)
    """account id -> (sequence, trade id)."""
    passed: dict[int, int] = field(default_factory=dict)
    """source partition -> source offset."""

    def arguments(self) -> list[str | bytes | int]:
        """Return what the script takes: orders apart, so that their JSON is not wrapped again."""
        gone = self.gone_orders
        orders: list[str | bytes | int] = []
        entered: dict[int, list[str]] = {}
        for order_id, order in self.set_orders.items():
            if order_id not in gone:
                name = str(order_id)
                orders += (name, _encode(order))
                entered.setdefault(order.account_id, []).append(name)
        left: dict[int, list[str]] = {}
        for order_id, account_id in gone.items():
            left.setdefault(account_id, []).append(str(order_id))
        document = {
            "building": self.building,
            "begins": self.begins,
            "takes_over": self.takes_over,
            "ends": self.ends,
            "sequence": self.sequence,
            "set": [[str(account), *ids] for account, ids in entered.items()],
            "gone": [str(order_id) for order_id in gone],
            "left": [[str(account), *ids] for account, ids in left.items()],
            "levels": [
                part
                for (side, price), lots in self.levels.items()
                for part in ("B" if side is Side.BUY else "A", str(price), str(lots))
            ],
            "seen": [p for a, (s, t) in self.seen.items() for p in (str(a), f"{s}:{t}")],
            "passed": [str(part) for pair in self.passed.items() for part in pair],
            "stamp": self.stamp(),
        }
        return [key(self.symbol, "account:"), self.first_sequence, _encode(document), *orders]

    def stamp(self) -> list[str]:
        """Return the stamp's fields, each name followed by its value."""
        return [
            *("partition", str(self.partition), "offset", str(self.offset)),
            *("sequence", str(self.sequence), "hash", self.record_hash),
            *("update_id", str(self.update_id), "trade_id", str(self.trade_id)),
            *("state", self.state, "until_ns", str(self.until_ns or "")),
            *([] if self.last_price_ticks is None else ["last_price_ticks", str(self.last_price_ticks)]),
        ]
