"""exchangeInfo says of a symbol what its market's state is to clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from ingest.http_exchange import Request
from ingest.rate_limits import RateLimits
from ingest.reference_routes import ReferenceRoutes
from ingest.settings import LimitSettings
from schemas.instruments import load_instruments
from schemas.orders import MarketState
from service_runtime.hot_book import HotBookAway

INSTRUMENTS = load_instruments()


class States:
    """A hot book that knows these states, or is away."""

    def __init__(self, states: dict[str, MarketState | None] | None) -> None:
        self.states = states

    async def market_states(self, symbols: Sequence[str]) -> dict[str, MarketState | None]:
        if self.states is None:
            raise HotBookAway("no Redis")
        return {symbol: self.states.get(symbol) for symbol in symbols}


async def asked(states: dict[str, MarketState | None] | None, query: bytes = b"") -> list[dict[str, Any]]:
    routes = ReferenceRoutes(INSTRUMENTS, RateLimits(LimitSettings()), lambda: 5_000_000, States(states))
    request = Request("GET", "/api/v3/exchangeInfo", query, b"", "", None, 5_000_000)
    info = orjson.loads((await routes.exchange_info(request)).body)
    symbols: list[dict[str, Any]] = info["symbols"]
    return symbols


async def statuses(states: dict[str, MarketState | None] | None, query: bytes = b"") -> dict[str, Any]:
    return {symbol["symbol"]: symbol["status"] for symbol in await asked(states, query)}


@pytest.mark.parametrize(
    ("query", "shown"),
    [(b"", [["SPOT"]]), (b"&showPermissionSets=true", [["SPOT"]]), (b"&showPermissionSets=false", [])],
)
async def test_permission_sets_are_left_out_on_demand(query: bytes, shown: list[list[str]]) -> None:
    (symbol,) = await asked({}, b"symbol=BTCUSDT" + query)
    assert symbol["permissionSets"] == shown


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (MarketState.TRADING, "TRADING"),
        (MarketState.AUCTION, "HALT"),
        (MarketState.HALT, "HALT"),
        (MarketState.BREAK, "BREAK"),
        (MarketState.CANCEL_ONLY, "CANCEL_ONLY"),
        (None, "TRADING"),
    ],
)
async def test_every_state_has_its_word(state: MarketState | None, shown: str) -> None:
    assert await statuses({"BTCUSDT": state}, b"symbol=BTCUSDT") == {"BTCUSDT": shown}


async def test_symbols_are_chosen_by_their_status() -> None:
    states: dict[str, MarketState | None] = {"BTCUSDT": MarketState.HALT}
    assert await statuses(states, b"symbolStatus=HALT") == {"BTCUSDT": "HALT"}
    trading = await statuses(states, b"symbolStatus=TRADING")
    assert trading.keys() == INSTRUMENTS.symbols.keys() - {"BTCUSDT"}


async def test_with_redis_away_everything_trades_as_far_as_is_known() -> None:
    assert set((await statuses(None)).values()) == {"TRADING"}
