"""Every order kind from request to balance, pure: processor's decisions, matcher, recorder, audit.

A trader sends anything; after each record no wallet is below zero, nothing is made or lost, and the audit's
own reading of the log agrees. When everything is canceled, nothing is locked. The seed is the test's name.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from matcher.symbol_engine import Input, SymbolEngine
from processor.decisions import decide
from processor.order_rows import accepted_orders
from processor.outcomes import Outcome
from processor.requests import Poison, Received, read_request
from processor.reservations import Market, locked_asset
from processor.view import Account, KnownList, KnownOrder, View
from recorder.journal import Leg
from recorder.settlement import Settlement
from schemas.codec import encode, record_hash
from schemas.commands import (
    OPERATOR_ACCOUNT,
    EnterOrder,
    EnterOrderList,
    ReplaceRestingOrder,
    SetMarketState,
)
from schemas.events import RequestRejected
from schemas.instruments import load_instruments
from schemas.orders import (
    MARKET_TYPES,
    STOP_TYPES,
    CancelRestriction,
    MarketState,
    OrderListKind,
    OrderType,
    ReplaceMode,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from schemas.topics import load_topics
from service_runtime.event_log import Record
from tapehouse.audit.balances import Balances
from tapehouse.audit.rebuilt_book import RebuiltBook
from tests.builders import (
    NOW_NS,
    amend_order,
    cancel_all_orders,
    cancel_list,
    cancel_order,
    envelope,
    place_list,
    place_order,
    replace_order,
    requested_order,
)

INSTRUMENTS = load_instruments()
BTCUSDT = INSTRUMENTS["BTCUSDT"]
TOPICS = load_topics()
ACCOUNTS = (1004, 1008, 1012)
MIDDLE = 3_000_000
REQUESTS = 120
_STATES = [MarketState.TRADING] * 3 + [MarketState.AUCTION] * 2 + [MarketState.HALT]
START = {"USDT": 12 * 3_000_000_000, "BTC": 12 * 100_000}


class World:
    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.engine = SymbolEngine(BTCUSDT)
        self.book = RebuiltBook("BTCUSDT", 10**9)
        self.balances = Balances(INSTRUMENTS)
        self.wallets: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
        self.orders: dict[int, KnownOrder] = {}
        self.lists: dict[int, KnownList] = {}
        self.offset = 0
        self.names = 0
        for account_id in ACCOUNTS:
            for asset, amount in START.items():
                self.wallets[account_id, asset][0] += amount
                self.balances.deposit(account_id, asset, amount)

    # -- the pipeline -----------------------------------------------------------------------------

    def send(self, request: Any) -> Outcome:
        partition = TOPICS.partition_of_account(request.account_id)
        read = read_request(Record("order-requests", partition, self.offset, encode(request)), TOPICS)
        self.offset += 1
        assert not isinstance(read, Poison), (read, request)
        decided = decide([read], self.view(read), INSTRUMENTS, NOW_NS + self.offset)
        for wallet, amount in decided.locked.items():
            self.move(*wallet, -amount, amount)
        (outcome,) = decided.outcomes
        if not isinstance(outcome, RequestRejected):
            self.remember(outcome)
            self.match(outcome)
        return outcome

    def view(self, received: Received) -> View:
        last = self.engine.market.last_price_ticks or None
        return View(
            accounts=dict.fromkeys(ACCOUNTS, Account(True, 700, 1_100)),
            available={wallet: amounts[0] for wallet, amounts in self.wallets.items()},
            newest={(o.account_id, o.symbol, o.client_order_id): o for o in self.orders.values()},
            orders=self.orders,
            open_counts={},
            markets={"BTCUSDT": Market(None, None, last)},
            lists=self.lists,
            newest_lists={(known.account_id, known.client_order_id): known for known in self.lists.values()},
        )

    def remember(self, outcome: Outcome) -> None:
        for accepted in accepted_orders([outcome]):
            terms, command = accepted.terms, accepted.command
            self.orders[terms.order_id] = KnownOrder(
                terms.order_id,
                command.account_id,
                "BTCUSDT",
                terms.client_order_id,
                (),
                0,
                True,
                terms.side,
                terms.price_ticks,
                terms.quantity_lots or 0,
            )
        if isinstance(outcome, EnterOrderList):
            known = KnownList(
                outcome.list_id, outcome.account_id, "BTCUSDT", outcome.client_order_id, 0, True
            )
            self.lists[outcome.list_id] = known

    def match(self, command: Any) -> None:
        (matched,) = self.engine.apply([Input(0, self.offset, command)])
        settlement = Settlement(INSTRUMENTS)
        for trade in matched.trades:
            settlement.trade(trade, 0, trade.trade_id)
            self.balances.trade(trade)
        digest = record_hash(matched.data)
        settlement.matched(matched.record, digest, 0, self.offset)
        for refused in settlement.refused_lists:
            settlement.give_back(refused, reservation(command))
        for (account_id, asset), (available, locked) in settlement.wallets.items():
            self.move(account_id, asset, available, locked)
        if (
            isinstance(command, EnterOrder | EnterOrderList | ReplaceRestingOrder)
            and not settlement.refused_lists
        ):
            self.balances.reserve(command)
        self.balances.release(matched.record)
        self.book.apply(matched.record, digest, f"offset {self.offset}")
        self.learn(settlement)
        self.check()

    def learn(self, settlement: Settlement) -> None:
        """Know of orders what the database and the hot book would."""
        for order_id, change in settlement.changes.orders.items():
            if change.ended is not None:
                self.orders.pop(order_id, None)
        for list_id in settlement.changes.lists:
            self.lists.pop(list_id, None)
            for leg in [i for i in self.orders if i // 1024 == list_id // 1024 and i not in self.book.orders]:
                del self.orders[leg]
        for order_id, known in list(self.orders.items()):
            order = self.engine.book.orders[order_id]
            self.orders[order_id] = KnownOrder(
                order_id,
                known.account_id,
                "BTCUSDT",
                order.client_order_id,
                (),
                0,
                True,
                order.side,
                order.price_ticks,
                order.leaves_lots if self.dice.random() < 0.9 else order.quantity_lots,  # stale
            )

    def move(self, account_id: int, asset: str, available: int, locked: int) -> None:
        wallet = self.wallets[account_id, asset]
        wallet[0] += available
        wallet[1] += locked

    def check(self) -> None:
        for wallet, (available, locked) in self.wallets.items():
            assert available >= 0, wallet
            assert locked >= 0, wallet
        for asset, amount in START.items():
            total = sum(sum(amounts) for (_, name), amounts in self.wallets.items() if name == asset)
            assert total == amount * len(ACCOUNTS)
        rebuilt = {key: pair for key, pair in self.balances.rows().items() if key[0] != 1}
        assert rebuilt == {key: tuple(pair) for key, pair in self.wallets.items() if any(pair)}
        assert self.book.orders.keys() == self.engine.book.orders.keys()
        self.book.check_levels()

    # -- what a trader does -----------------------------------------------------------------------

    def anything(self) -> Any:
        kinds: list[tuple[Callable[[], Any], int]] = [
            (self.place, 10),
            (self.place_list, 4),
            (self.replace, 2),
            (self.amend, 2),
            (self.cancel, 2),
            (self.cancel_list, 1),
        ]
        if self.dice.random() < 0.06:
            self.offset += 1
            self.match(self.market_state(self.dice.choice(_STATES)))
        return self.dice.choices([make for make, _ in kinds], [weight for _, weight in kinds])[0]()

    def market_state(self, state: MarketState) -> SetMarketState:
        return SetMarketState(
            **envelope(),
            source_partition=1,
            source_offset=self.offset,
            account_id=OPERATOR_ACCOUNT,
            symbol="BTCUSDT",
            state=state,
        )

    def terms(self, side: Side, kind: OrderType, quantity: int | None) -> dict[str, Any]:
        dice, self.names = self.dice, self.names + 1
        limited = kind not in MARKET_TYPES
        timed = kind in (OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
        tif = dice.choice(list(TimeInForce)) if timed and dice.random() < 0.3 else TimeInForce.GTC
        terms: dict[str, Any] = {
            "side": side,
            "order_type": kind,
            "client_order_id": f"o-{self.names}",
            "time_in_force": tif,
            "quantity_lots": quantity,
            "price_ticks": self.price() if limited else None,
            "self_trade_prevention": dice.choice([None, *SelfTradePrevention]),
        }
        if kind in STOP_TYPES:
            terms["stop_price_ticks"] = self.price()
            if dice.random() < 0.3:
                terms["trailing_delta_bips"] = dice.randint(10, 300)
        if limited and quantity is not None and tif is TimeInForce.GTC and dice.random() < 0.3:
            terms["display_lots"] = dice.randint(1, quantity)
        return terms

    def price(self) -> int:
        return MIDDLE + self.dice.randint(-8, 8) * 1_000

    def one(self, side: Side | None = None, kind: OrderType | None = None) -> dict[str, Any]:
        dice = self.dice
        terms = self.terms(
            side or dice.choice(list(Side)), kind or dice.choice(list(OrderType)), dice.randint(1, 3_000)
        )
        if terms["order_type"] is OrderType.MARKET and dice.random() < 0.4:
            terms |= {"quantity_lots": None, "quote_quantity_minor": dice.randint(10**6, 5 * 10**9)}
        return terms

    def place(self) -> Any:
        return place_order(account_id=self.dice.choice(ACCOUNTS), **self.one())

    def place_list(self) -> Any:
        dice, kind = self.dice, self.dice.choice(list(OrderListKind))
        self.names += 1
        paying = kind in (OrderListKind.OPO, OrderListKind.OPOCO)
        quantity = dice.randint(1, 3_000)
        side = Side.SELL if paying else dice.choice(list(Side))
        pending = None if paying else quantity
        if kind in (OrderListKind.OTO, OrderListKind.OPO):
            kinds = list(OrderType)
            legs = [self.terms(side, dice.choice(kinds), pending)]
        else:
            profits = [OrderType.LIMIT_MAKER, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT]
            stops = [OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT]
            pair = [self.terms(side, dice.choice(each), pending) for each in (profits, stops)]
            legs = pair if side is Side.SELL else pair[::-1]
            far = dice.randint(0, 8) * 1_000
            for leg, sign in zip(legs, (1, -1), strict=True):
                for name in ("price_ticks", "stop_price_ticks"):
                    if leg.get(name) is not None:
                        leg[name] = MIDDLE + sign * far
        if kind is not OrderListKind.OCO:
            working = Side.BUY if paying else dice.choice(list(Side))
            first = dice.choice([OrderType.LIMIT, OrderType.LIMIT_MAKER])
            legs.insert(0, self.terms(working, first, dice.randint(1, 3_000)))
        made = [requested_order(**leg) for leg in legs]
        account_id = dice.choice(ACCOUNTS)
        return place_list(kind, *made, account_id=account_id, client_order_id=f"l-{self.names}")

    def known(self) -> KnownOrder:
        if not self.orders:
            return KnownOrder(1, ACCOUNTS[0], "BTCUSDT", "none", (), 0, True)
        return self.dice.choice(list(self.orders.values()))

    def replace(self) -> Any:
        target = self.known()
        order = requested_order(**self.one(self.dice.choice([target.side, target.side, None])))
        return replace_order(
            order,
            account_id=target.account_id,
            cancel_orig_client_order_id=None,
            cancel_order_id=target.order_id,
            mode=self.dice.choice(list(ReplaceMode)),
            restriction=self.dice.choice([None, None, *CancelRestriction]),
        )

    def amend(self) -> Any:
        target, self.names = self.known(), self.names + 1
        quantity = self.dice.randint(1, max(1, target.leaves_lots))
        return amend_order(
            account_id=target.account_id,
            orig_client_order_id=None,
            order_id=target.order_id,
            quantity_lots=quantity,
            client_order_id=f"o-{self.names}",
        )

    def cancel(self) -> Any:
        target = self.known()
        return cancel_order(account_id=target.account_id, order_id=target.order_id)

    def cancel_list(self) -> Any:
        if not self.lists:
            return self.cancel()
        known = self.dice.choice(list(self.lists.values()))
        return cancel_list(account_id=known.account_id, list_id=known.list_id)


def reservation(command: Any) -> list[Leg]:
    """What the ledger's rows of a request say."""
    return [
        Leg(
            accepted.command.account_id,
            locked_asset(accepted.terms.side, BTCUSDT),
            -accepted.locked_minor,
            accepted.locked_minor,
            accepted.terms.order_id,
        )
        for accepted in accepted_orders([command])
        if accepted.locked_minor
    ]


@pytest.mark.parametrize("seed", range(20))
def test_money_is_conserved_whatever_is_sent(seed: int) -> None:
    world = World(seed)
    for _ in range(REQUESTS):
        world.send(world.anything())
    world.offset += 1
    world.match(world.market_state(MarketState.TRADING))
    for account_id in ACCOUNTS:
        world.send(cancel_all_orders(account_id=account_id))
    assert world.engine.book.orders == {}
    assert {wallet: pair for wallet, pair in world.wallets.items() if pair[1]} == {}
