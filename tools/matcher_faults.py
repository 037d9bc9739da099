"""Faults for tools/mutate_matcher.py: small changes of the matching engine that no test may let pass."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class PatchDoesNotFit(Exception):
    """The text that the fault replaces is not there exactly once."""


class Fault(NamedTuple):
    name: str
    file: str
    old: str
    new: str

    def plant(self, root: Path) -> None:
        """Change the engine under `root`. Raises PatchDoesNotFit, then write the patch anew."""
        path = root / "matcher" / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise PatchDoesNotFit(f"{self.name}: {path.name} has the text {text.count(self.old)} times")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


FAULTS = (
    Fault(
        "partial fill loses its place",
        "matching.py",
        "                rest = lots - left\n                lots = left\n",
        "                rest = lots - left\n                lots = left\n"
        "                queue.append(queue.pop(place))\n",
    ),
    Fault("a stop is triggered only beyond its price", "stops.py", "heap[0][0] <= key", "heap[0][0] < key"),
    Fault(
        "triggered stops go youngest first",
        "stops.py",
        "        found.sort(key=age)\n",
        "        found.sort(key=age, reverse=True)\n",
    ),
    Fault(
        "a trailing stop forgets the new high",
        "stops.py",
        "    special.extreme_ticks = max(extreme, price)\n",
        "",
    ),
    Fault(
        "an amend forgets to release",
        "changes.py",
        "    released = before - narration.need_minor(order, market.instrument) + reserved\n",
        "    released = reserved\n",
    ),
    Fault(
        "an amend loses its place",
        "price_level.py",
        "        level.hidden -= hidden\n        level.lots -= lots - hidden\n",
        "        level.hidden -= hidden\n        level.lots -= lots - hidden\n"
        "        level.queue.remove(order)\n        level.queue.append(order)\n",
    ),
    Fault(
        "the maker's mode rules self-trades",
        "self_trade.py",
        "maker, mode = level.front(), taker.self_trade_prevention",
        "maker = level.front()\n"
        "    mode = taker.self_trade_prevention if maker.self_trade_prevention is NONE else "
        "maker.self_trade_prevention",
    ),
    Fault(
        "an iceberg keeps its place",
        "price_level.py",
        "        self.queue.append(order)\n        self.pass_front()\n",
        "",
    ),
    Fault(
        "an uncrossing tie forgets the last price",
        "auction.py",
        "distance = abs(at - last_price_ticks) if last_price_ticks else 0",
        "distance = 0",
    ),
    Fault(
        "a FOK counts outside the band",
        "self_trade.py",
        "            if not low <= level.price_ticks <= high:\n                break\n",
        "",
    ),
    Fault(
        "a cancel leaves its lots in the level",
        "price_level.py",
        "        order.ended = True\n        hidden = order.hidden_lots\n"
        "        level.lots -= order.leaves_lots - hidden\n",
        "        order.ended = True\n        hidden = order.hidden_lots\n",
    ),
    Fault(
        "the sibling of a leg that traded stays",
        "trade_reports.py",
        "        found.shared_minor -= used_minor\n        market.happened.append((found, order, False))\n",
        "        found.shared_minor -= used_minor\n",
    ),
    Fault(
        "an OCO releases its lock twice",
        "market.py",
        "        found.shared_minor -= released\n",
        "",
    ),
    Fault(
        "a snapshot loses the hidden part",
        "order_book.py",
        "        if order.place == PLAIN:\n            self.ladder(order.side).add(order)\n",
        "        if order.place == PLAIN:\n            if order.conditions is not None:\n"
        "                order.conditions.hidden_lots = 0\n            self.ladder(order.side).add(order)\n",
    ),
    Fault(
        "an OPO forgets its fee",
        "trade_reports.py",
        "receipt = _receive(market, buyer, base - (taker_fee if taker_buys else maker_fee))",
        "receipt = _receive(market, buyer, base)",
    ),
    Fault(
        "the edge of the volatility band is outside",
        "price_guard.py",
        "return self.low <= price_ticks <= self.high",
        "return self.low < price_ticks < self.high",
    ),
    Fault(
        "a replace carries the other side's money",
        "changes.py",
        "    if canceled is not None and canceled.side is terms.side:\n",
        "    if canceled is not None:\n",
    ),
    Fault(
        "a halt ends a moment late",
        "market_states.py",
        "while market.until_ns is not None and market.until_ns <= now:",
        "while market.until_ns is not None and market.until_ns < now:",
    ),
)
