"""Requests of a benchmark as records of `order-requests`: what ingest would have written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from schemas.codec import encode
from schemas.commands import PlaceOrder
from schemas.events import AccountOpened, FundsDeposited
from schemas.instruments import Instrument, Instruments
from schemas.money import parse_decimal
from schemas.orders import OrderType, TimeInForce
from schemas.topics import ACCOUNT_EVENTS, ORDER_REQUESTS, TopicMap
from service_runtime.event_log import EventLog
from tapehouse.bench.order_plan import Market, OrderPlan, PlannedOrder
from tapehouse.usual_prices import USUAL_PRICES

FIRST_ACCOUNT = 1_001
AMOUNT_MINOR = 10**16
"""Of every asset, for every account."""
OPEN_ORDERS_LEFT = 2
"""So many times fewer open orders of an account than it may have, if nothing were matched meanwhile."""


def accounts_for(orders: int, instruments: Instruments, symbols: Sequence[str]) -> int:
    """Return how many accounts so many orders need, half of them resting until somebody crosses."""
    most = min(instruments[symbol].max_open_orders for symbol in symbols) // OPEN_ORDERS_LEFT
    makers = -(-orders // (2 * len(symbols) * most))
    return max(2 * makers, 64)


def plan_of(instruments: Instruments, symbols: Sequence[str], accounts: int, seed: int) -> OrderPlan:
    """Return a plan around the prices at which the symbols usually trade."""
    markets = []
    for symbol in symbols:
        middle = parse_decimal(USUAL_PRICES.get(symbol, "100"), 8)
        assert middle is not None
        markets.append(Market.around(instruments[symbol], middle // instruments[symbol].tick_e8))
    return OrderPlan(markets, accounts, seed)


def open_accounts(log: EventLog, topics: TopicMap, instruments: Instruments, accounts: int) -> None:
    """Let accounts be opened and funded, as the operator's desk would."""
    for account_id in range(FIRST_ACCOUNT, FIRST_ACCOUNT + accounts):
        partition, name = topics.partition_of_account(account_id, ACCOUNT_EVENTS), f"bench-{account_id}"
        ids = {"correlation_id": name, "causation_id": name, "occurred_at_ns": 1, "account_id": account_id}
        fees = {"maker_fee_ppm": instruments.maker_fee_ppm, "taker_fee_ppm": instruments.taker_fee_ppm}
        opened = AccountOpened(event_id=name, name=name, **fees, **ids)  # type: ignore[arg-type]
        log.append(ACCOUNT_EVENTS, partition, encode(opened), str(account_id).encode())
        for asset in instruments.assets:
            deposit = f"{name}-{asset}"
            funded = FundsDeposited(
                event_id=deposit, asset=asset, amount_minor=AMOUNT_MINOR, deposit_id=deposit, **ids  # type: ignore[arg-type]
            )  # fmt: skip
            log.append(ACCOUNT_EVENTS, partition, encode(funded), str(account_id).encode())
    log.flush()


class RequestWriter:
    """Writes planned orders into `order-requests`. Nobody waits for their replies."""

    def __init__(self, log: EventLog, topics: TopicMap, instruments: Instruments, plan: OrderPlan) -> None:
        self._log = log
        self._topics = topics
        self._instruments = instruments
        self._first = iter(plan.first_orders())
        self._orders = plan.orders()
        self._number = 0

    def write_first(self) -> int:
        """Write the orders that make the books deep; return how many."""
        return self._write(self._first)

    def write(self, count: int) -> int:
        """Write the next orders of the plan and wait until they are stored."""
        return self._write(islice(self._orders, count))

    def _write(self, orders: Iterator[PlannedOrder]) -> int:
        before = self._number
        for order in orders:
            self._number += 1
            account_id = FIRST_ACCOUNT + order.account
            request = request_of(order, account_id, f"bench-{self._number}", self._instruments.symbols)
            partition = self._topics.partition_of_account(account_id)
            self._log.append(ORDER_REQUESTS, partition, encode(request), str(account_id).encode())
        self._log.flush()
        return self._number - before


def request_of(
    order: PlannedOrder, account_id: int, name: str, symbols: Mapping[str, Instrument]
) -> PlaceOrder:
    instrument = symbols[order.symbol]
    price, quantity = parse_decimal(order.price, 8), parse_decimal(order.quantity, 8)
    assert price is not None
    assert quantity is not None
    return PlaceOrder(
        event_id=name,
        correlation_id=name,
        causation_id=name,
        occurred_at_ns=1,
        account_id=account_id,
        symbol=order.symbol,
        side=order.side,
        order_type=OrderType.LIMIT,
        client_order_id=name,
        time_in_force=TimeInForce(order.time_in_force),
        quantity_lots=quantity // instrument.lot_e8,
        price_ticks=price // instrument.tick_e8,
    )
