"""When orders leave: no faster than they are answered in a closed loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from schemas.orders import Side
from tapehouse.bench.load import Load
from tapehouse.bench.order_plan import PlannedOrder
from tapehouse.bench.raw_http import UNKNOWN, Done
from tapehouse.operator_client import TradingAccount

ORDER = PlannedOrder(0, "BTCUSDT", Side.BUY, True, "1.00", "2.0")


class Exchange:
    """Answers the oldest order each time the loop comes round, 10 ms later on its own clock."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.now = 100.0
        self.under_way: list[Done] = []
        self.most = 0

    def request(self, build: Callable[[], bytes], done: Done) -> None:
        build()
        self.under_way.append(done)
        self.most = max(self.most, len(self.under_way))
        asyncio.get_running_loop().call_soon(self.answer)

    def answer(self) -> None:
        self.now += 0.01
        self.under_way.pop(0)(self.status, b"{}")

    async def open(self, count: int) -> None: ...

    async def close(self) -> None: ...


def load(exchange: Exchange) -> Load:
    account = TradingAccount("bench", 1001, "key", "secret")
    return Load(
        exchange,
        lambda order, name, account, now_ms: name.encode(),
        [account],
        "run",
        clock=lambda: exchange.now,
    )


async def test_a_closed_loop_keeps_so_many_orders_under_way() -> None:
    exchange, told = Exchange(), []
    sending = load(exchange)
    await sending.in_turn(iter(lambda: ORDER, None), 4, 0.505, 0.505, lambda: told.append(len(sending.shots)))
    assert (exchange.most, exchange.under_way) == (4, [])
    measured = [shot.measured for shot in sending.shots]
    warm = measured.index(True)
    assert told == [warm]
    assert measured == [False] * warm + [True] * (len(measured) - warm)
    # Four are answered in 40 ms, then the next four leave: 13 times before 0.505 s, 26 times before 1.01 s.
    assert (warm, len(measured)) == (4 * 13, 4 * 26)
    assert all(shot.status == 200 and shot.due_s == shot.sent_s < shot.answered_s for shot in sending.shots)


async def test_a_closed_loop_outlives_an_exchange_that_is_away() -> None:
    exchange = Exchange(UNKNOWN)
    sending = load(exchange)
    await sending.in_turn(iter(lambda: ORDER, None), 2, 0.025, 0.0, lambda: None)
    assert len(sending.shots) == 4
    assert not any(shot.accepted for shot in sending.shots)


async def test_a_closed_loop_whose_time_passed_at_once_ends() -> None:
    """As on a machine that stood still for longer than the load was to last."""
    exchange, told = Exchange(), []
    sending = load(exchange)
    await sending.in_turn(iter(lambda: ORDER, None), 2, 0.004, 0.004, lambda: told.append(len(sending.shots)))
    assert [shot.measured for shot in sending.shots] == [False, False]
    assert (told, exchange.under_way) == ([], [])
