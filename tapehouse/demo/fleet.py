"""The demo's trading fleet: a few makers and takers, gently, through the public API."""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import httpx
import structlog

from schemas.instruments import Instrument, load_instruments
from schemas.money import parse_decimal
from service_runtime import telemetry
from tapehouse.demo import accounts, quiet
from tapehouse.demo.accounts import FLEET_FUNDS, PEOPLE, PEOPLE_FUNDS
from tapehouse.demo.fleet_plan import MAKERS, TAKERS, FleetPlan, Market, Place, Quote
from tapehouse.demo.random_walk import RandomWalk
from tapehouse.demo.settings import DemoSettings
from tapehouse.errors import FAILED, OperatorError
from tapehouse.public_client import PublicClient, Refused
from tapehouse.usual_prices import USUAL_PRICES

_log = structlog.get_logger("demo")
RETRY_S = 1.0
_EXPECTED = {-2010, -2011}
"""An order that would take, or does not fit; a quote that was filled before it was canceled."""


class Fleet:
    def __init__(self, settings: DemoSettings, clients: dict[str, PublicClient], plan: FleetPlan) -> None:
        self._settings = settings
        self._clients = clients
        self._plan = plan
        self._symbols = tuple(load_instruments(settings.instruments_file).symbols)
        self._quiet: set[str] = set()

    async def run(self) -> None:
        """Trade until canceled; an exchange that is away is waited for."""
        pause = 1 / self._settings.demo.actions_per_s
        due = time.monotonic()
        await self._patiently(self._clear(self._symbols))
        while True:
            await self._keep_quiet()
            place, oldest = self._plan.next(self._quiet)
            if oldest is not None:
                due += pause
                await self._patiently(self._cancel(oldest))
            if place is not None:
                await self._patiently(self._order(place))
            due = max(due + pause, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _keep_quiet(self) -> None:
        asked = {s for s in self._symbols if quiet.asked_for(self._settings.quiet_file(s))}
        fresh, self._quiet = asked - self._quiet, asked
        if fresh:
            await self._patiently(self._clear(tuple(fresh)))

    async def _clear(self, symbols: tuple[str, ...]) -> None:
        """Cancel what the makers have open."""
        for symbol in symbols:
            self._plan.forget(symbol)
            for name in MAKERS:
                await self._send(name, "DELETE", "/api/v3/openOrders", {"symbol": symbol})

    async def _cancel(self, quote: Quote) -> None:
        parameters = {"symbol": quote.symbol, "origClientOrderId": quote.client_order_id}
        await self._send(quote.account, "DELETE", "/api/v3/order", parameters)

    async def _order(self, place: Place) -> None:
        await self._send(place.account, "POST", "/api/v3/order", place.parameters())

    async def _send(self, account: str, method: str, path: str, parameters: dict[str, str]) -> None:
        try:
            await self._clients[account].signed(method, path, **parameters)
        except Refused as refusal:
            if refusal.code not in _EXPECTED:
                _log.warning("refused", account=account, refusal=str(refusal))

    async def _patiently(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except httpx.TransportError as error:
            _log.warning("the exchange does not answer", error=str(error) or type(error).__name__)
            await asyncio.sleep(RETRY_S)


async def run_fleet(settings: DemoSettings, health: telemetry.Health) -> None:
    """Provide the accounts and trade until canceled. Raises OperatorError."""
    wanted = dict.fromkeys(PEOPLE, PEOPLE_FUNDS) | dict.fromkeys((*MAKERS, *TAKERS), FLEET_FUNDS)
    found = await accounts.provide(settings, wanted)
    rng = random.Random(settings.demo.seed)
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(
                PublicClient(settings.api_url, account.api_key, account.secret)
            )
            for name, account in found.items()
        }
        markets = {
            instrument.symbol: await _market(instrument, rng, clients[MAKERS[0]])
            for instrument in load_instruments(settings.instruments_file).symbols.values()
        }
        plan = FleetPlan(rng, markets, f"fleet-{secrets.token_hex(4)}")
        health.ready = True
        _log.info("the fleet trades", accounts_file=str(settings.accounts_file))
        await Fleet(settings, clients, plan).run()


async def _market(instrument: Instrument, rng: random.Random, client: PublicClient) -> Market:
    anchor = parse_decimal(USUAL_PRICES.get(instrument.symbol, "100"), 8) // instrument.tick_e8
    start = None
    try:
        last = await client.get("/api/v3/ticker/price", symbol=instrument.symbol)
        start = parse_decimal(last["price"], 8) // instrument.tick_e8
    except (Refused, httpx.TransportError) as error:
        _log.info("no last price", symbol=instrument.symbol, error=str(error))
    unit = 10**instrument.quote.scale // (40_000 if instrument.quote.name == "BTC" else 1)
    return Market(instrument, RandomWalk(rng, anchor, start), unit)


def main() -> int:
    """Run as a supervised process; 0 stopped, 1 it could not start."""
    settings = DemoSettings()
    telemetry.configure("demo", settings.log_level)
    health = telemetry.Health()
    server = telemetry.HealthServer(settings.health_host, settings.health_port, health)
    server.start()
    try:
        return asyncio.run(_until_told(settings, health))
    finally:
        server.stop()


async def _until_told(settings: DemoSettings, health: telemetry.Health) -> int:
    fleet = asyncio.create_task(run_fleet(settings, health))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, fleet.cancel)
    try:
        await fleet
    except asyncio.CancelledError:
        return 0
    except OperatorError as error:
        _log.error("the fleet cannot start", error=str(error))
        return FAILED
    return 0
