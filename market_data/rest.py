"""REST market data as a bare ASGI application: a table of paths, light handlers, `{code, msg}` refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import psycopg
import psycopg_pool
import structlog

from market_data import payloads
from market_data.intervals import DAY_MS, MINUTE_MS
from market_data.klines import Klines
from market_data.publisher import average_price
from market_data.query import Query
from market_data.rolling_windows import RollingWindows, opened_before, trading_day
from market_data.symbol_view import MarketView, SymbolView
from market_data.trade_history import TradeHistory
from market_data.zoned_candles import zoned
from schemas import public_errors as errors
from schemas.public_errors import RETRY_AFTER_S, PublicError
from schemas.public_parameters import parse_form
from schemas.public_wire import JSON_TYPE
from service_runtime.clock import Clock
from service_runtime.hot_book import HotBookAway
from service_runtime.hot_book_reads import AsyncHotBook

_log = structlog.get_logger("rest")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[Query], Awaitable[bytes]]
DEPTH_MOST = 5_000
ROWS_MOST = 1_000
WINDOWS_MOST = 100
PREFIX = "/api/v3/"
_SYMBOL = frozenset({"symbol"})
_SYMBOLS = frozenset({"symbol", "symbols", "symbolStatus"})
_KLINES = frozenset({"symbol", "interval", "startTime", "endTime", "timeZone", "limit"})
_AGGREGATES = frozenset({"symbol", "fromId", "startTime", "endTime", "limit"})


class MarketRest:
    """The market half of the public API. `view_waits` counts what became of read-your-writes waits."""

    def __init__(
        self,
        market: MarketView,
        trades: TradeHistory,
        klines: Klines,
        hot_book: AsyncHotBook,
        clock: Clock,
        view_wait_s: float,
        view_waits: Callable[[str], None],
    ) -> None:
        self._market = market
        self._trades = trades
        self._klines = klines
        self._windows = RollingWindows(klines)
        self._hot_book = hot_book
        self._clock = clock
        self._view_wait_s = view_wait_s
        self._view_waits = view_waits
        self._routes: dict[str, tuple[Handler, frozenset[str]]] = {
            "depth": (self.depth, frozenset({"symbol", "limit", "symbolStatus"})),
            "trades": (self.trades, frozenset({"symbol", "limit"})),
            "historicalTrades": (self.historical_trades, frozenset({"symbol", "limit", "fromId"})),
            "aggTrades": (self.aggregate_trades, _AGGREGATES),
            "klines": (self.klines, _KLINES),
            "uiKlines": (self.klines, _KLINES),
            "avgPrice": (self.average_price, _SYMBOL),
            "ticker": (self.ticker_window, _SYMBOLS | {"type", "windowSize"}),
            "ticker/tradingDay": (self.trading_day, _SYMBOLS | {"type", "timeZone"}),
            "ticker/24hr": (self.ticker_24hr, _SYMBOLS | {"type"}),
            "ticker/price": (self.ticker_price, _SYMBOLS),
            "ticker/bookTicker": (self.ticker_book, _SYMBOLS),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, body, headers = 200, b"", []
        try:
            body = await self._answer(scope)
        except PublicError as error:
            status, body, headers = error.status, error.body(), error.headers()
        headers += [(b"content-type", JSON_TYPE), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope) -> bytes:
        path: str = scope["path"]
        route = self._routes.get(path[len(PREFIX) :]) if path.startswith(PREFIX) else None
        if route is None:
            raise errors.NOT_FOUND()
        if scope["method"] != "GET":
            raise errors.METHOD_NOT_ALLOWED()
        handler, known = route
        try:
            query = Query(parse_form(scope["query_string"]))
            query.refuse_unknown(known)
            return await handler(query)
        except PublicError:
            raise
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
            _log.warning("history not reachable", path=path, error=str(error).strip()[:200])
            raise errors.OVERLOADED(retry_after=RETRY_AFTER_S) from error
        except Exception as error:
            _log.exception("market request failed", path=path)
            raise errors.UNKNOWN_ERROR() from error

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000

    # -- the book ---------------------------------------------------------------------------------

    async def depth(self, query: Query) -> bytes:
        view = query.view(self._market)
        limit = query.limit(100, DEPTH_MOST)
        query.status_matches(listed=False)
        await self._reach_hot_book(view)
        return view.depth.snapshot_json(limit)

    async def ticker_book(self, query: Query) -> bytes:
        views, listed = query.views(self._market)
        if not query.status_matches(listed=listed):
            return b"[]"
        if not listed:
            await self._reach_hot_book(views[0])
        rows = [
            payloads.book_ticker_row(view.instrument, view.depth.bids.best(), view.depth.asks.best())
            for view in views
        ]
        return payloads.to_json(rows if listed else rows[0])

    async def _reach_hot_book(self, view: SymbolView) -> None:
        """Read your writes: what a reply has told, the view shows. Without Redis nobody waits."""
        try:
            update_id = await self._hot_book.update_id(view.instrument.symbol)
        except HotBookAway:
            return
        if update_id is not None and view.depth.update_id < update_id:
            reached = await view.reached(update_id, self._view_wait_s)
            self._view_waits("reached" if reached else "timed_out")

    # -- trades -----------------------------------------------------------------------------------

    async def trades(self, query: Query) -> bytes:
        view = query.view(self._market)
        limit = query.limit(500, ROWS_MOST)
        await self._reach_hot_book(view)
        rows = await self._trades.newest(view, limit)
        return payloads.to_json([payloads.trade_row(view.instrument, trade) for trade in rows])

    async def historical_trades(self, query: Query) -> bytes:
        view = query.view(self._market)
        limit = query.limit(500, ROWS_MOST)
        from_id = query.integer("fromId")
        if from_id is None:
            rows = await self._trades.newest(view, limit)
        else:
            rows = await self._trades.from_id(view, from_id, limit)
        return payloads.to_json([payloads.trade_row(view.instrument, trade) for trade in rows])

    async def aggregate_trades(self, query: Query) -> bytes:
        view = query.view(self._market)
        limit = query.limit(500, ROWS_MOST)
        from_id = query.integer("fromId")
        start_ms, end_ms = query.time_range()
        if from_id is not None and (start_ms is not None or end_ms is not None):
            raise errors.INVALID_COMBINATION()
        last_id = None
        if end_ms is not None:
            last_id = await self._trades.first_id_at(view, end_ms + 1) - 1
        if start_ms is not None:
            from_id = await self._trades.first_id_at(view, start_ms)
        if from_id is not None:
            rows = await self._trades.aggregates_from(view, from_id, limit, last_id)
        else:
            rows = await self._trades.newest_aggregates(view, limit, last_id)
        return payloads.to_json([payloads.aggregate_row(view.instrument, row) for row in rows])

    async def average_price(self, query: Query) -> bytes:
        view = query.view(self._market)
        price, last_ms = average_price(view, self._now_ms())
        return payloads.to_json({"mins": 5, "price": price, "closeTime": last_ms})

    # -- candles and tickers ----------------------------------------------------------------------

    async def klines(self, query: Query) -> bytes:
        view = query.view(self._market)
        interval = zoned(query.interval(), query.zone_minutes() * MINUTE_MS)
        limit = query.limit(500, ROWS_MOST)
        start_ms, end_ms = query.time_range()
        rows = await self._klines.window(view, interval, start_ms, end_ms, limit, self._now_ms())
        return payloads.to_json([payloads.kline_row(view.instrument, candle) for candle in rows])

    async def ticker_24hr(self, query: Query) -> bytes:
        kind = query.choice("type", ("FULL", "MINI"), errors.INVALID_TICKER_TYPE)
        views, listed = query.views(self._market)
        if not query.status_matches(listed=listed):
            return b"[]"
        now_ms = self._now_ms()
        rows = [
            payloads.ticker_row(
                view.instrument,
                view.current_ticker(now_ms),
                view.depth.bids.best(),
                view.depth.asks.best(),
            )
            for view in views
        ]
        if kind == "MINI":
            rows = [payloads.mini_row(row) for row in rows]
        return payloads.to_json(rows if listed else rows[0])

    async def ticker_window(self, query: Query) -> bytes:
        width_ms = query.window_ms()
        now_ms = self._now_ms()
        return await self._windowed(query, opened_before(now_ms, width_ms), now_ms, None)

    async def trading_day(self, query: Query) -> bytes:
        now_ms = self._now_ms()
        opened = trading_day(now_ms, query.zone_minutes())
        return await self._windowed(query, opened, now_ms, opened + DAY_MS - 1)

    async def _windowed(self, query: Query, open_ms: int, now_ms: int, close_ms: int | None) -> bytes:
        kind = query.choice("type", ("FULL", "MINI"), errors.INVALID_TICKER_TYPE)
        views, listed = query.views(self._market)
        if "symbol" not in query and "symbols" not in query:
            raise errors.EITHER_MANDATORY("symbol", "symbols")
        if len(views) > WINDOWS_MOST:
            raise errors.INVALID_DATA("symbols")
        if not query.status_matches(listed=listed):
            return b"[]"
        cut = payloads.mini_row if kind == "MINI" else payloads.window_row
        rows = []
        for view in views:
            ticker = await self._windows.since(view, open_ms, now_ms, close_ms)
            rows.append(cut(payloads.ticker_row(view.instrument, ticker, None, None)))
        return payloads.to_json(rows if listed else rows[0])

    async def ticker_price(self, query: Query) -> bytes:
        views, listed = query.views(self._market)
        if not query.status_matches(listed=listed):
            return b"[]"
        if not listed:
            await self._reach_hot_book(views[0])
        rows = [
            {"symbol": view.instrument.symbol, "price": view.instrument.price_text(view.last_price_ticks)}
            for view in views
        ]
        return payloads.to_json(rows if listed else rows[0])
