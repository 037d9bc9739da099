"""Asks for a Tick when a symbol waits for a time: the engine knows no clock, and nobody else may send one."""

from __future__ import annotations

from collections.abc import Iterable

from matcher.symbol_engine import SymbolEngine
from schemas.codec import encode
from schemas.commands import OPERATOR_ACCOUNT, RequestTick
from schemas.orders import MarketState
from schemas.topics import ORDER_REQUESTS, TopicMap
from service_runtime.clock import Clock
from service_runtime.event_log import EventLog


class TimeRequests:
    """Writes RequestTick to `order-requests`. The clock only says when to ask; what happens then, and whether
    it is time, the engine decides by the time in the command. Asking twice does no harm."""

    def __init__(self, log: EventLog, clock: Clock, topics: TopicMap) -> None:
        self._event_log = log
        self._clock = clock
        self._partition = topics.partition_of_account(OPERATOR_ACCOUNT)

    def ask(self, engines: Iterable[SymbolEngine]) -> None:
        """To be called about once a second: so often an auction tells its indicative price."""
        now_ns = self._clock.now_ns()
        for engine in engines:
            if _waits(engine, now_ns):
                name = f"tick-{engine.symbol}-{now_ns}"
                request = RequestTick(
                    event_id=name,
                    correlation_id=name,
                    causation_id=name,
                    occurred_at_ns=now_ns,
                    account_id=OPERATOR_ACCOUNT,
                    symbol=engine.symbol,
                )
                self._event_log.append(
                    ORDER_REQUESTS, self._partition, encode(request), str(OPERATOR_ACCOUNT).encode()
                )


def _waits(engine: SymbolEngine, now_ns: int) -> bool:
    market = engine.market
    if market.state is MarketState.AUCTION:
        return True
    return market.state is MarketState.HALT and market.until_ns is not None and market.until_ns <= now_ns
