"""What anybody may ask about the exchange itself: ping, time, exchangeInfo; and what it does not offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

import orjson

from ingest.http_exchange import Answer, Request, Route, ok
from ingest.order_form import listed
from ingest.rate_limits import RateLimits
from schemas import public_errors as errors
from schemas.instruments import Instruments
from schemas.orders import MarketState
from schemas.public_parameters import Parameters
from schemas.public_wire import NS_PER_MS, exchange_info
from service_runtime.hot_book import HotBookAway

STATUSES: Final = ("TRADING", "HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY")
_EXCHANGE_INFO_WEIGHT: Final = 20


_SHOWN: Final[Mapping[MarketState, str]] = MappingProxyType(
    {state: state.value for state in MarketState} | {MarketState.AUCTION: "HALT"}
)
"""Clients know no auction: to them the symbol does not trade."""


class HotStates(Protocol):
    """What is read of `service_runtime.hot_book_reads.AsyncHotBook`. Raises HotBookAway."""

    async def market_states(self, symbols: Sequence[str]) -> dict[str, MarketState | None]: ...


class ReferenceRoutes:
    def __init__(
        self, instruments: Instruments, limits: RateLimits, now_ns: Callable[[], int], hot: HotStates
    ) -> None:
        self._hot = hot
        self._instruments = instruments
        self._limits = limits
        self._now_ns = now_ns

    def routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("GET", "/api/v3/ping"): Route(self.ping),
            ("GET", "/api/v3/time"): Route(self.time),
            ("GET", "/api/v3/exchangeInfo"): Route(self.exchange_info, _EXCHANGE_INFO_WEIGHT),
            ("GET", "/api/v3/executionRules"): Route(self.execution_rules, 2),
            ("GET", "/api/v3/referencePrice"): Route(self.no_reference_price, 2),
            ("GET", "/api/v3/referencePrice/calculation"): Route(self.no_reference_price, 2),
            ("GET", "/api/v3/historicalBlockTrades"): Route(self.no_block_trades, 25),
            ("POST", "/api/v3/sor/order"): Route(self.no_sor),
            ("POST", "/api/v3/sor/order/test"): Route(self.no_sor),
        }

    async def ping(self, request: Request) -> Answer:
        return ok({})

    async def time(self, request: Request) -> Answer:
        return ok({"serverTime": self._now_ns() // NS_PER_MS})

    async def exchange_info(self, request: Request) -> Answer:
        parameters = Parameters.parse(request.query)
        symbols = self._symbols(parameters)
        status = parameters.choice("symbolStatus", STATUSES, errors.INVALID_SYMBOL_STATUS)
        if status is not None and "symbol" in parameters:
            raise errors.INVALID_COMBINATION()
        if not _spot(parameters):
            symbols = []
        statuses = await self._statuses(symbols)
        chosen = {symbol: shown for symbol, shown in statuses.items() if status in (None, shown)}
        now_ms = self._now_ns() // NS_PER_MS
        info = exchange_info(self._instruments, chosen, self._limits.published(), now_ms)
        if not parameters.boolean("showPermissionSets", default=True):
            for symbol in info["symbols"]:
                symbol["permissionSets"] = []
        return ok(info)

    async def _statuses(self, symbols: Sequence[str]) -> dict[str, str]:
        """Return what each symbol's state is to clients; what nobody can tell is trading."""
        try:
            states = await self._hot.market_states(symbols) if symbols else {}
        except HotBookAway:
            states = {}
        return {symbol: _SHOWN[states.get(symbol) or MarketState.TRADING] for symbol in symbols}

    async def execution_rules(self, request: Request) -> Answer:
        self._symbols(Parameters.parse(request.query))
        return ok({"symbolRules": []})

    async def no_reference_price(self, request: Request) -> Answer:
        listed(self._instruments, Parameters.parse(request.query))
        raise errors.NO_REFERENCE_PRICE()

    async def no_block_trades(self, request: Request) -> Answer:
        listed(self._instruments, Parameters.parse(request.query))
        return ok([])

    async def no_sor(self, request: Request) -> Answer:
        raise errors.SOR_NOT_ENABLED()

    def _symbols(self, parameters: Parameters) -> list[str]:
        several = parameters.symbols()
        if "symbol" not in parameters:
            chosen = several if several is not None else list(self._instruments.symbols)
        elif several is not None:
            raise errors.INVALID_COMBINATION()
        else:
            chosen = [parameters.symbol()]
        if any(symbol not in self._instruments.symbols for symbol in chosen):
            raise errors.INVALID_SYMBOL()
        return chosen


def _spot(parameters: Parameters) -> bool:
    """Return whether the permissions asked for, one name or a JSON array of names, take in SPOT."""
    text = parameters.text("permissions")
    if text is None:
        return True
    try:
        names = orjson.loads(text) if text.startswith("[") else [text]
    except orjson.JSONDecodeError:
        raise errors.INVALID_JSON("permissions") from None
    return "SPOT" in names
