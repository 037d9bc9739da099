"""Sends a tape through the public API: each trade as a resting order and one that crosses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from schemas.instruments import Instrument
from schemas.money import parse_decimal
from schemas.orders import Side
from tapehouse.demo.tape import TapeTrade, may_overlap
from tapehouse.errors import OperatorError
from tapehouse.public_client import PublicClient

BOOK_DEADLINE_S = 20.0
EMPTY_LOOKS = 6
LOOK_S = 0.2
"""The book must be empty at so many looks in a row: an order of the fleet may still be on its way."""


class TapeFailed(OperatorError):
    """The exchange did not do what the tape says."""


class TapeSender:
    """Makers are the even clients, takers the odd ones, so that nobody trades with himself.

    Strictly in the order of the tape: a crossing order is sent when its resting order is in the book, a
    resting one when the trade before is done, or together with it where order allows (`may_overlap`).
    """

    def __init__(self, clients: Sequence[PublicClient], instrument: Instrument, run: str) -> None:
        self._makers, self._takers = clients[0::2], clients[1::2]
        self._instrument = instrument
        self._run = run

    async def await_empty_book(self) -> None:
        """Raises TapeFailed when others keep orders in the book: they would trade with the tape's."""
        deadline, empty = time.monotonic() + BOOK_DEADLINE_S, 0
        while empty < EMPTY_LOOKS:
            depth = await self._makers[0].get("/api/v3/depth", symbol=self._instrument.symbol, limit=5)
            empty = 0 if depth["bids"] or depth["asks"] else empty + 1
            if not empty and time.monotonic() > deadline:
                raise TapeFailed(
                    f"the book of {self._instrument.symbol} holds orders of others, which would trade with "
                    "the tape's: cancel them, or send the tape to a fresh exchange"
                )
            await asyncio.sleep(LOOK_S)

    async def last_trade_id(self) -> int:
        last = await self._makers[0].get("/api/v3/trades", symbol=self._instrument.symbol, limit=1)
        return int(last[0]["id"]) if last else 0

    async def send(self, trades: Sequence[TapeTrade], speed: float, sent: Callable[[int], None]) -> None:
        """Send every trade; `speed` times as fast as it was recorded, 0: as fast as order allows."""
        started = time.monotonic()
        resting: asyncio.Task[Any] | None = None
        for number, trade in enumerate(trades):
            await self._wait_until_due(started, trades[0], trade, speed)
            if resting is None:
                resting = asyncio.create_task(self._rest(number, trade))
            await resting
            following = trades[number + 1] if number + 1 < len(trades) else None
            resting = None
            crossing = asyncio.create_task(self._cross(number, trade))
            if following is not None and not speed and may_overlap(trade, following):
                resting = asyncio.create_task(self._rest(number + 1, following))
            await crossing
            sent(number + 1)

    async def _wait_until_due(self, started: float, first: TapeTrade, trade: TapeTrade, speed: float) -> None:
        if speed:
            due = started + (trade.time_ms - first.time_ms) / 1000 / speed
            await asyncio.sleep(max(due - time.monotonic(), 0))

    async def _rest(self, number: int, trade: TapeTrade) -> None:
        client = self._makers[number % len(self._makers)]
        answer = await self._order(client, number, "m", trade, trade.maker_side, "GTC")
        if answer["status"] != "NEW":
            raise TapeFailed(f"trade {number + 1}: the resting order is {answer['status']}: {answer}")

    async def _cross(self, number: int, trade: TapeTrade) -> None:
        client = self._takers[number % len(self._takers)]
        answer = await self._order(client, number, "t", trade, trade.taker_side, "IOC")
        fills = [(self._ticks(fill["price"]), self._lots(fill["qty"])) for fill in answer["fills"]]
        if fills != [(trade.price_ticks, trade.quantity_lots)]:
            raise TapeFailed(f"trade {number + 1}: the crossing order did not meet its resting one: {answer}")

    async def _order(
        self, client: PublicClient, number: int, role: str, trade: TapeTrade, side: Side, time_in_force: str
    ) -> Any:
        return await client.signed(
            "POST",
            "/api/v3/order",
            symbol=self._instrument.symbol,
            side=side.value,
            type="LIMIT",
            timeInForce=time_in_force,
            quantity=self._instrument.quantity_text(trade.quantity_lots),
            price=self._instrument.price_text(trade.price_ticks),
            newClientOrderId=f"{self._run}-{role}{number + 1}",
            newOrderRespType="FULL",
        )

    def _ticks(self, text: str) -> int:
        return parse_decimal(text, 8) // self._instrument.tick_e8

    def _lots(self, text: str) -> int:
        return parse_decimal(text, 8) // self._instrument.lot_e8
