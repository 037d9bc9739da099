"""What an account asks of itself: open orders from the hot book, everything else from Postgres."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from ingest.account_reads import AccountReads, Page
from ingest.api_keys import KeyStore
from ingest.authentication import Caller, authenticate
from ingest.http_exchange import Answer, Request, Route, ok
from ingest.order_desk import order_named
from ingest.order_form import SIGNING, listed
from ingest.order_rows import (
    amendment_row,
    list_row,
    open_order_row,
    prevented_row,
    stored_order_row,
    trade_row,
    unsure_since,
)
from ingest.rate_limits import RateLimits
from ingest.reply_desk import ReplyDesk, Seen
from schemas import public_errors as errors
from schemas.hot_book import OpenOrder
from schemas.instruments import Instruments
from schemas.public_parameters import MAX_INTEGER, Parameters
from schemas.public_wire import asset_filters, commission_rates, exchange_filters, filters, no_discount
from service_runtime.hot_book import HotBookAway

MAX_HOURS: Final = 24
_MAX_RANGE_MS: Final = MAX_HOURS * 3_600_000
_MAX_TIME_MS: Final = 10**13
_ROWS: Final = 500
_MAX_ROWS: Final = 1000
_PPM_PER_BIP: Final = 100
_PAGE: Final = SIGNING | {"symbol", "orderId", "startTime", "endTime", "limit"}


class HotOrders(Protocol):
    """What is read of `service_runtime.hot_book_reads.AsyncHotBook`. Raises HotBookAway."""

    async def open_orders(self, account_id: int, symbols: list[str]) -> dict[str, list[OpenOrder]]: ...

    async def order(self, symbol: str, order_id: int) -> OpenOrder | None: ...

    async def seen(self, account_id: int, symbols: list[str]) -> Seen: ...


class AccountRoutes:
    def __init__(
        self,
        *,
        instruments: Instruments,
        keys: KeyStore,
        hot: HotOrders,
        reads: AccountReads,
        desk: ReplyDesk,
        limits: RateLimits,
        compare_orders: Callable[[int], Awaitable[None]],
    ) -> None:
        self._compare_orders = compare_orders
        self._instruments = instruments
        self._keys = keys
        self._hot = hot
        self._reads = reads
        self._desk = desk
        self._limits = limits

    def routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("GET", "/api/v3/order"): Route(self.order, 4),
            ("GET", "/api/v3/openOrders"): Route(self.open_orders, weigh=_open_orders_weight),
            ("GET", "/api/v3/allOrders"): Route(self.all_orders, 20),
            ("GET", "/api/v3/myTrades"): Route(self.my_trades, weigh=_my_trades_weight),
            ("GET", "/api/v3/order/amendments"): Route(self.amendments, 4),
            ("GET", "/api/v3/myPreventedMatches"): Route(self.prevented, weigh=_prevented_weight),
            ("GET", "/api/v3/orderList"): Route(self.order_list, 4),
            ("GET", "/api/v3/allOrderList"): Route(self.all_lists, 20),
            ("GET", "/api/v3/openOrderList"): Route(self.open_lists, 6),
            ("GET", "/api/v3/account"): Route(self.account, 20),
            ("GET", "/api/v3/account/commission"): Route(self.commission, 20),
            ("GET", "/api/v3/myFilters"): Route(self.filters, 40),
            ("GET", "/api/v3/myAllocations"): Route(self.allocations, 20),
            ("GET", "/api/v3/rateLimit/order"): Route(self.order_limits, 40),
        }

    async def order(self, request: Request) -> Answer:
        caller = self._caller(request, SIGNING | {"symbol", "orderId", "origClientOrderId"})
        instrument = listed(self._instruments, caller.parameters)
        order_id, client_order_id = order_named(caller.parameters)
        account_id = caller.key.account_id
        open_order = await self._open_order(account_id, instrument.symbol, order_id, client_order_id)
        if open_order is not None and not unsure_since(open_order):
            return ok(open_order_row(instrument, open_order))
        seen = await self._seen(account_id, [instrument.symbol])
        stored = await self._reads.order(account_id, instrument.symbol, order_id, client_order_id, seen)
        if stored is None or client_order_id not in (None, stored.client_order_id):
            raise errors.NO_SUCH_ORDER()
        return ok(stored_order_row(instrument, stored))

    async def open_orders(self, request: Request) -> Answer:
        caller = self._caller(request, SIGNING | {"symbol"})
        account_id = caller.key.account_id
        symbol = None
        if "symbol" in caller.parameters:
            symbol = listed(self._instruments, caller.parameters).symbol
        symbols = [symbol] if symbol else list(self._instruments.symbols)
        try:
            found = await self._hot.open_orders(account_id, symbols)
        except HotBookAway:
            stored = await self._reads.open_orders(account_id, symbol, await self._seen(account_id, symbols))
            return ok([stored_order_row(self._instruments[order.symbol], order) for order in stored])
        since = await self._working_since(account_id, symbol, found)
        rows = [
            open_order_row(self._instruments[name], order, since.get(order.order_id))
            for name, orders in found.items()
            for order in orders
        ]
        return ok(rows)

    async def _working_since(
        self, account_id: int, symbol: str | None, found: dict[str, list[OpenOrder]]
    ) -> dict[int, int | None]:
        """Return since when orders work of which the hot book does not tell: Postgres does."""
        if not any(unsure_since(order) for orders in found.values() for order in orders):
            return {}
        stored = await self._reads.open_orders(account_id, symbol, await self._seen(account_id, list(found)))
        return {order.order_id: order.working_at_ns for order in stored}

    async def all_orders(self, request: Request) -> Answer:
        caller = self._caller(request, _PAGE)
        instrument = listed(self._instruments, caller.parameters)
        page = _page(caller.parameters, from_id="orderId")
        account_id = caller.key.account_id
        seen = await self._seen(account_id, [instrument.symbol])
        stored = await self._reads.all_orders(account_id, instrument.symbol, page, seen)
        return ok([stored_order_row(instrument, order) for order in stored])

    async def my_trades(self, request: Request) -> Answer:
        caller = self._caller(request, _PAGE | {"fromId"})
        parameters = caller.parameters
        instrument = listed(self._instruments, parameters)
        page = _page(parameters, from_id="fromId", order_id="orderId")
        account_id = caller.key.account_id
        seen = await self._seen(account_id, [instrument.symbol])
        trades = await self._reads.trades(account_id, instrument.symbol, page, seen)
        return ok([trade_row(instrument, trade) for trade in trades])

    async def amendments(self, request: Request) -> Answer:
        caller = self._caller(request, SIGNING | {"symbol", "orderId", "fromExecutionId", "limit"})
        parameters = caller.parameters
        instrument = listed(self._instruments, parameters)
        parameters.required("orderId")
        order_id, limit = parameters.integer("orderId"), parameters.limit(_ROWS, _MAX_ROWS)
        assert order_id is not None
        first = parameters.integer("fromExecutionId") or 0
        seen = await self._seen(caller.key.account_id, [instrument.symbol])
        found = await self._reads.amendments(
            caller.key.account_id, instrument.symbol, order_id, first, limit, seen
        )
        return ok([amendment_row(instrument, one) for one in found])

    async def prevented(self, request: Request) -> Answer:
        known = SIGNING | {"symbol", "preventedMatchId", "orderId", "fromPreventedMatchId", "limit"}
        caller = self._caller(request, known)
        parameters = caller.parameters
        instrument = listed(self._instruments, parameters)
        one, order_id = parameters.integer("preventedMatchId"), parameters.integer("orderId")
        first, limit = parameters.integer("fromPreventedMatchId"), parameters.limit(_ROWS, _MAX_ROWS)
        if one is None and order_id is None:
            raise errors.EITHER_MANDATORY("preventedMatchId", "orderId")
        if one is not None and (order_id is not None or first is not None):
            raise errors.INVALID_COMBINATION()
        ids = (first or 0, MAX_INTEGER) if one is None else (one, one)
        account_id = caller.key.account_id
        seen = await self._seen(account_id, [instrument.symbol])
        found = await self._reads.prevented_matches(account_id, instrument.symbol, order_id, ids, limit, seen)
        return ok([prevented_row(instrument, each) for each in found])

    async def order_list(self, request: Request) -> Answer:
        caller = self._caller(request, SIGNING | {"orderListId", "origClientOrderId"})
        list_id, name = order_named(caller.parameters, "orderListId")
        seen = await self._seen(caller.key.account_id, list(self._instruments.symbols))
        found = await self._reads.order_list(caller.key.account_id, list_id, name, seen)
        if found is None or name not in (None, found.client_order_id):
            raise errors.NO_SUCH_LIST()
        return ok(list_row(found))

    async def all_lists(self, request: Request) -> Answer:
        caller = self._caller(request, SIGNING | {"fromId", "startTime", "endTime", "limit"})
        page = _page(caller.parameters, from_id="fromId")
        if page.from_id is not None and (page.start_ms is not None or page.end_ms is not None):
            raise errors.INVALID_COMBINATION()
        seen = await self._seen(caller.key.account_id, list(self._instruments.symbols))
        found = await self._reads.order_lists(caller.key.account_id, page, seen)
        return ok([list_row(one) for one in found])

    async def open_lists(self, request: Request) -> Answer:
        caller = self._caller(request, SIGNING)
        seen = await self._seen(caller.key.account_id, list(self._instruments.symbols))
        found = await self._reads.order_lists(caller.key.account_id, None, seen)
        return ok([list_row(one) for one in found])

    async def account(self, request: Request) -> Answer:
        caller = self._caller(request, SIGNING | {"omitZeroBalances"})
        omit_zero = caller.parameters.boolean("omitZeroBalances")
        account_id = caller.key.account_id
        seen = await self._seen(account_id, list(self._instruments.symbols))
        wallets = await self._reads.wallets(account_id, seen)
        maker, taker = wallets.maker_fee_ppm, wallets.taker_fee_ppm
        balances = []
        for name, asset in self._instruments.assets.items():
            available, locked = wallets.balances.get(name, (0, 0))
            if available or locked or not omit_zero:
                balances.append({"asset": name, "free": asset.text(available), "locked": asset.text(locked)})
        return ok(
            {
                "makerCommission": maker // _PPM_PER_BIP,
                "takerCommission": taker // _PPM_PER_BIP,
                "buyerCommission": 0,
                "sellerCommission": 0,
                "commissionRates": commission_rates(maker, taker),
                "canTrade": wallets.active and caller.key.can_trade,
                "canWithdraw": False,
                "canDeposit": False,
                "brokered": False,
                "requireSelfTradePrevention": False,
                "preventSor": False,
                "updateTime": wallets.updated_at_ns // 1_000_000,
                "accountType": "SPOT",
                "balances": balances,
                "permissions": ["SPOT"],
                "uid": account_id,
            }
        )

    async def commission(self, request: Request) -> Answer:
        caller = self._caller(request, SIGNING | {"symbol"})
        instrument = listed(self._instruments, caller.parameters)
        none = commission_rates(0, 0)
        return ok(
            {
                "symbol": instrument.symbol,
                "standardCommission": commission_rates(caller.key.maker_fee_ppm, caller.key.taker_fee_ppm),
                "specialCommission": none,
                "taxCommission": none,
                "discount": no_discount(instrument),
            }
        )

    async def filters(self, request: Request) -> Answer:
        caller = self._caller(request, SIGNING | {"symbol"})
        instrument = listed(self._instruments, caller.parameters)
        return ok(
            {
                "exchangeFilters": exchange_filters(self._instruments.exchange),
                "symbolFilters": filters(instrument),
                "assetFilters": asset_filters(instrument),
            }
        )

    async def allocations(self, request: Request) -> Answer:
        """There is no smart order routing, so nothing was ever allocated."""
        known = {"symbol", "startTime", "endTime", "fromAllocationId", "limit", "orderId"}
        caller = self._caller(request, SIGNING | known)
        listed(self._instruments, caller.parameters)
        return ok([])

    async def order_limits(self, request: Request) -> Answer:
        caller = self._caller(request, SIGNING)
        await self._compare_orders(caller.key.account_id)
        return ok(self._limits.order_counts(caller.key.account_id, request.received_ns))

    def _caller(self, request: Request, known: frozenset[str]) -> Caller:
        caller = authenticate(self._keys, request, trade=False)
        self._limits.spend_key(caller.key.api_key, request)
        caller.parameters.refuse_unknown(known)
        return caller

    async def _open_order(
        self, account_id: int, symbol: str, order_id: int | None, client_order_id: str | None
    ) -> OpenOrder | None:
        """Return the account's open order from the hot book, None if it is not there."""
        try:
            if order_id is None:
                for order in (await self._hot.open_orders(account_id, [symbol]))[symbol]:
                    if order.client_order_id == client_order_id:
                        return order
                return None
            found = await self._hot.order(symbol, order_id)
        except HotBookAway:
            return None
        if found is None or found.account_id != account_id:
            return None
        if client_order_id not in (None, found.client_order_id):
            raise errors.NO_SUCH_ORDER()
        return found

    async def _seen(self, account_id: int, symbols: list[str]) -> Seen:
        """Return how far the account has been told: by the hot book, or else by this worker."""
        own = self._desk.seen(account_id)
        seen = {symbol: own[symbol] for symbol in symbols if symbol in own}
        try:
            found = await self._hot.seen(account_id, symbols)
        except HotBookAway:
            return seen
        return {symbol: max(found.get(symbol, (0, 0)), seen.get(symbol, (0, 0))) for symbol in found | seen}


def _page(parameters: Parameters, from_id: str, order_id: str | None = None) -> Page:
    start, end = _time(parameters, "startTime"), _time(parameters, "endTime")
    if start is not None and end is not None:
        if end < start:
            raise errors.INVALID_COMBINATION()
        if end - start > _MAX_RANGE_MS:
            raise errors.TOO_MANY_HOURS(MAX_HOURS)
    first, of_order = parameters.integer(from_id), parameters.integer(order_id) if order_id else None
    timed = start is not None or end is not None
    if timed and (of_order is not None or (order_id is not None and first is not None)):
        raise errors.INVALID_COMBINATION()
    limit = parameters.limit(_ROWS, _MAX_ROWS)
    return Page(limit=limit, from_id=first, order_id=of_order, start_ms=start, end_ms=end)


def _time(parameters: Parameters, name: str) -> int | None:
    """Return a time in ms; microseconds are understood. What is past the year 2286 is refused."""
    number = parameters.integer(name)
    if number is not None and number >= _MAX_TIME_MS * 100:
        number //= 1000
    if number is not None and number > _MAX_TIME_MS:
        raise errors.INVALID_DATA(name)
    return number


def _open_orders_weight(request: Request) -> int:
    return 6 if b"symbol=" in request.query else 80


def _prevented_weight(request: Request) -> int:
    return 20 if b"orderId=" in request.query else 2


def _my_trades_weight(request: Request) -> int:
    return 5 if b"orderId=" in request.query else 20
