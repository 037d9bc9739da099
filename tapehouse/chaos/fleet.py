"""The fleet of a chaos run: fifty accounts that trade over the public API, whatever happens to it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from urllib.parse import urlencode

from schemas.instruments import load_instruments
from schemas.money import parse_decimal
from tapehouse.bench.raw_http import UNKNOWN, ConnectionPool
from tapehouse.chaos.client_journal import ClientJournal, answer_of
from tapehouse.chaos.order_flow import Act, Market, OrderFlow
from tapehouse.chaos.sightings import Sightings, View
from tapehouse.demo.settings import DemoSettings
from tapehouse.operator_client import OperatorClient, TradingAccount
from tapehouse.public_client import sign
from tapehouse.usual_prices import USUAL_PRICES

ACCOUNTS = 50
FUNDS = {"USDT": "1000000000", "BTC": "100000", "ETH": "1000000", "SOL": "10000000"}
WINDOW_MS = 30_000
ANSWER_S = 6.0
"""A request without an answer is given up after this; an answer that comes later is journaled too."""
MOST_OPEN = 150
_CONNECTIONS = 256


class Fleet:
    def __init__(
        self,
        settings: DemoSettings,
        accounts: Sequence[TradingAccount],
        flow: OrderFlow,
        journal: ClientJournal,
        sightings: Sightings,
        rate: float,
    ) -> None:
        self._host = f"{settings.api_host}:{settings.ports.api}"
        self._pool = ConnectionPool(settings.api_host, settings.ports.api, _CONNECTIONS)
        self._accounts = accounts
        self._flow = flow
        self._journal = journal
        self._sightings = sightings
        self._pause_s = 1 / rate
        self._waiting: dict[str, tuple[Act, float]] = {}
        """By client order id, in the order of their deadlines."""
        self._task: asyncio.Task[None] | None = None
        self.sent = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._trade())

    async def pause(self) -> None:
        """Send no more; return when every request is answered or given up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        deadline = time.monotonic() + ANSWER_S + 1
        while self._waiting and time.monotonic() < deadline:
            self._give_up()
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        await self.pause()
        await self._pool.close()

    async def _trade(self) -> None:
        due = time.monotonic()
        while True:
            self._give_up()
            if len(self._waiting) < MOST_OPEN:
                self._send(self._flow.next())
            due = max(due + self._pause_s, time.monotonic() - 1.0)
            await asyncio.sleep(max(due - time.monotonic(), 0.001))

    def _send(self, act: Act) -> None:
        account = self._accounts[act.account]
        sent_s = time.time()
        self.sent += 1
        self._waiting[act.client_order_id] = act, time.monotonic() + ANSWER_S

        def done(status: int, body: bytes) -> None:
            if self._waiting.pop(act.client_order_id, None) is None and status == UNKNOWN:
                return  # it was given up before
            now = time.time()
            sent_ms, now_ms = int(sent_s * 1_000), int(now * 1_000)
            answer = answer_of(act, account.account_id, status, body, sent_ms, now_ms)
            self._journal.add(answer)
            if answer.trade_ids:
                self._sightings.trade(View.ANSWERS, act.symbol, account.account_id, sent_s, now)

        self._pool.request(lambda: request_of(act, account, self._host, time.time_ns() // 1_000_000), done)

    def _give_up(self) -> None:
        """Journal what has waited too long as unknown."""
        now = time.monotonic()
        while self._waiting:
            act, deadline = next(iter(self._waiting.values()))
            if deadline > now:
                return
            del self._waiting[act.client_order_id]
            now_ms = time.time_ns() // 1_000_000
            account_id = self._accounts[act.account].account_id
            self._journal.add(answer_of(act, account_id, UNKNOWN, b"", 0, now_ms))


def request_of(act: Act, account: TradingAccount, host: str, now_ms: int) -> bytes:
    """Return the signed request."""
    text = sign(account.secret.encode(), urlencode(act.parameters), now_ms, WINDOW_MS)
    query, body = (f"?{text}", "") if act.method == "DELETE" else ("", text)
    return (
        f"{act.method} {act.path}{query} HTTP/1.1\r\nHost: {host}\r\nX-MBX-APIKEY: {account.api_key}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def open_accounts(settings: DemoSettings, count: int = ACCOUNTS) -> list[TradingAccount]:
    """Open and fund the fleet's accounts, a few at a time. Raises OperatorError."""
    some = asyncio.Semaphore(8)
    async with OperatorClient.with_token_file(
        settings.admin_url, settings.secrets.operator_token_file
    ) as operator:

        async def open_one(number: int) -> TradingAccount:
            async with some:
                name = f"chaos-{number}"
                account = await operator.new_key(name, await operator.open_account(name))
                await operator.fund(account, FUNDS, "chaos")
                return account

        return list(await asyncio.gather(*(open_one(number) for number in range(count))))


def flow_of(settings: DemoSettings, seed: int, accounts: int, run: str) -> OrderFlow:
    rng = random.Random(f"flow-{seed}")
    markets = {
        instrument.symbol: Market.around(
            instrument,
            rng,
            parse_decimal(USUAL_PRICES.get(instrument.symbol, "100"), 8) // instrument.tick_e8,
        )
        for instrument in load_instruments(settings.instruments_file).symbols.values()
    }
    return OrderFlow(rng, markets, accounts, run)
