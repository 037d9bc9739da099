"""Proves that what the exchange serves after a tape is the tape, to the last digit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import duckdb

from market_data import truth
from schemas.codec import InvalidMessage, decoder_for
from schemas.events import TradeExecuted
from schemas.instruments import Instrument
from schemas.money import parse_decimal
from schemas.topics import TRADE_EXECUTION, TopicMap
from service_runtime.event_log import EventLog, TopicPartition
from tapehouse.demo.tape import TapeTrade, figures
from tapehouse.errors import OperatorError
from tapehouse.public_client import PublicClient

INTERVALS = (
    "1s",
    "1m",
    "3m",
    "5m",
    "15m",
    "30m",
    "1h",
    "2h",
    "4h",
    "6h",
    "8h",
    "12h",
    "1d",
    "3d",
    "1w",
    "1M",
)
PAGE = 1_000
SERVED_DEADLINE_S = 30.0


class TapeDiffers(OperatorError):
    """The first difference found."""


class TapeCheck:
    """`after`: the last trade id before the tape."""

    def __init__(self, client: PublicClient, instrument: Instrument, after: int) -> None:
        self._client = client
        self._instrument = instrument
        self._after = after

    async def trades(self, tape: Sequence[TapeTrade]) -> list[str]:
        """Compare the trades served, their volume and their prices with the file. Raises TapeDiffers."""
        served = await self._served_trades(len(tape))
        for number, (expected, row) in enumerate(zip(tape, served, strict=True), start=1):
            found = self._tape_trade(expected.time_ms, row)
            if found != expected or row["id"] != self._after + number:
                raise TapeDiffers(f"trade {number}: the file has {expected}, served is {row}")
        again = figures([self._tape_trade(0, row) for row in served], self._instrument)
        expected_figures = figures(tape, self._instrument)
        if again != expected_figures:
            raise TapeDiffers(f"the file comes to {expected_figures}, the trades served to {again}")
        quote = sum(parse_decimal(row["quoteQty"], 8) for row in served)
        if quote != parse_decimal(self._instrument.quote_text(again.quote_minor), 8):
            raise TapeDiffers(f"quote volume served {quote}, of the file {again.quote_minor}")
        price, i = self._instrument.price_text, self._instrument
        return [
            f"{len(served)} trades served as in the file: price, quantity, side, order",
            f"volume {i.quantity_text(again.volume_lots)} open {price(again.open_ticks)} "
            f"high {price(again.high_ticks)} low {price(again.low_ticks)} close {price(again.close_ticks)}",
        ]

    async def market_data(self, log: EventLog, topics: TopicMap) -> list[str]:
        """Compare every candle since the tape began, and the ticker, with what the topic says."""
        executed = await asyncio.to_thread(read_trades, log, topics, self._instrument.symbol)
        connection = duckdb.connect()
        truth.load(connection, executed)
        first_ms = next(t.occurred_at_ns for t in executed if t.trade_id > self._after) // 1_000_000
        candles = 0
        for interval in INTERVALS:
            candles += await self._compare_candles(connection, interval, first_ms, executed[-1])
        await self._compare_ticker(connection, executed[-1])
        return [
            f"{candles} candles of {len(INTERVALS)} intervals served as DuckDB computes them from the topic",
            "the 24 h ticker served as DuckDB computes it from the topic",
        ]

    async def _served_trades(self, count: int) -> list[dict[str, Any]]:
        served: list[dict[str, Any]] = []
        deadline = time.monotonic() + SERVED_DEADLINE_S
        while len(served) < count:
            page = await self._client.get(
                "/api/v3/historicalTrades",
                symbol=self._instrument.symbol,
                fromId=self._after + 1 + len(served),
                limit=min(PAGE, count - len(served)),
            )
            served += page
            if not page and time.monotonic() > deadline:
                raise TapeDiffers(f"{len(served)} of {count} trades are served")
            if not page:
                await asyncio.sleep(0.1)
        return served

    def _tape_trade(self, time_ms: int, row: dict[str, Any]) -> TapeTrade:
        return TapeTrade(
            time_ms,
            parse_decimal(row["price"], 8) // self._instrument.tick_e8,
            parse_decimal(row["qty"], 8) // self._instrument.lot_e8,
            row["isBuyerMaker"],
        )

    async def _compare_candles(
        self, connection: duckdb.DuckDBPyConnection, interval: str, first_ms: int, last: TradeExecuted
    ) -> int:
        """Return how many candles are equal, once those served hold the last trade."""
        deadline = time.monotonic() + SERVED_DEADLINE_S
        while True:
            served = await self._served_candles(interval, first_ms)
            until = served[-1][0] if served else first_ms
            computed = truth.kline_rows(connection, self._instrument, interval, until)
            computed = [row for row in computed if row[6] >= first_ms]
            if served == computed and served[-1][6] >= last.occurred_at_ns // 1_000_000:
                return len(served)
            if time.monotonic() > deadline:
                raise TapeDiffers(_first_difference(f"candles {interval}", computed, served))
            await asyncio.sleep(0.2)

    async def _served_candles(self, interval: str, first_ms: int) -> list[list[Any]]:
        """Return the candles from the one that holds `first_ms` on."""
        served: list[list[Any]] = []
        start = _opening(await self._candle_at(interval, first_ms), first_ms)
        while True:
            page: list[list[Any]] = await self._client.get(
                "/api/v3/klines",
                symbol=self._instrument.symbol,
                interval=interval,
                startTime=start,
                limit=PAGE,
            )
            served += page
            if len(page) < PAGE:
                return served
            start = page[-1][0] + 1

    async def _candle_at(self, interval: str, at_ms: int) -> list[list[Any]]:
        found: list[list[Any]] = await self._client.get(
            "/api/v3/klines", symbol=self._instrument.symbol, interval=interval, endTime=at_ms, limit=1
        )
        return found

    async def _compare_ticker(self, connection: duckdb.DuckDBPyConnection, last: TradeExecuted) -> None:
        deadline = time.monotonic() + SERVED_DEADLINE_S
        while True:
            served = await self._client.get("/api/v3/ticker/24hr", symbol=self._instrument.symbol)
            computed = truth.ticker_fields(connection, self._instrument, served["openTime"])
            of_served = {name: served.get(name) for name in computed}
            if of_served == computed and served["lastId"] == last.trade_id:
                return
            if time.monotonic() > deadline:
                raise TapeDiffers(f"ticker: the topic says {computed}, served is {of_served}")
            await asyncio.sleep(0.2)


def read_trades(log: EventLog, topics: TopicMap, symbol: str) -> list[TradeExecuted]:
    """Return every trade of the symbol in the topic, in order, each once."""
    decode = decoder_for(TradeExecuted)
    source = TopicPartition(TRADE_EXECUTION, topics.partition_of_symbol(symbol))
    found: dict[int, TradeExecuted] = {}
    for batch in log.read(source, *log.offsets(source)):
        for record in batch:
            try:
                trade = decode(record.value)
            except InvalidMessage:
                continue
            if trade.symbol == symbol:
                found.setdefault(trade.trade_id, trade)
    return [found[trade_id] for trade_id in sorted(found)]


def _opening(found: list[list[Any]], at_ms: int) -> int:
    """Return when the candle that holds `at_ms` opened, as far as it is served yet."""
    return int(found[-1][0]) if found and found[-1][6] >= at_ms else at_ms


def _first_difference(what: str, computed: list[list[Any]], served: list[list[Any]]) -> str:
    for expected, found in zip(computed, served, strict=False):
        if expected != found:
            return f"{what}: the topic says {expected}, served is {found}"
    return f"{what}: the topic has {len(computed)}, {len(served)} are served"
