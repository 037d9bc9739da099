"""What an order's row says does not depend on where one batch ended and the next began."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from recorder.order_changes import OrderChanges
from recorder.settlement import Settlement
from recorder.store import Store
from schemas.events import (
    BookEvent,
    CommandMatched,
    MatchPrevented,
    OrderActivated,
    OrderAmended,
    OrderExpired,
    OrderHeld,
    OrderMoved,
    OrderTriggered,
    TradeExecuted,
)
from schemas.orders import SelfTradePrevention, Side
from schemas.reasons import ExpiryReason
from service_runtime.postgres import connect
from service_runtime.settings import PostgresSettings
from tests.builders import ALICE, NOW_NS, envelope, place_order, trade_executed
from tests.integration.ledger_world import INSTRUMENTS, World

pytestmark = pytest.mark.long

SCRIPTS, STEPS, CUTS = 12, 8, 4
"""Stories of an order, each played once in one batch, once step by step, and cut at random."""
_COLUMNS = (
    "price_ticks, quantity_lots, first_quantity_lots, executed_lots, executed_quote_minor, ended, end_reason,"
    " waits_for, working_at_ns, prevented_lots, amends, updated_at_ns"
)
KINDS = (0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7)
"""How often each of the steps comes."""
Step = Callable[[int], BookEvent | TradeExecuted]


def test_any_batching_gives_equal_rows(world: World) -> None:
    world.fund(USDT=10**15)
    for n in range(SCRIPTS * CUTS):
        world.request(place_order(client_order_id=f"o-{n}"))
    world.processor().drain()
    order_ids = [row[0] for row in world.rows("SELECT order_id FROM orders ORDER BY 1")]
    store = Store(connect(PostgresSettings(dsn=world.dsn), "recorder"))
    amended_after_a_move = 0
    try:
        for seed in range(SCRIPTS):
            dice, found = random.Random(seed), []
            script = _script(dice)
            for cut in range(CUTS):
                order_id = order_ids.pop()
                for part in _cut(script, cut, dice):
                    _write(store, part, order_id, cut)
                found.append(world.rows(f"SELECT {_COLUMNS} FROM orders WHERE order_id = %s", order_id))
            assert all(rows == found[0] for rows in found), f"seed {seed}: {found}"
            amended_after_a_move += found[0][0][2] not in (None, 1_000)
    finally:
        store.close()
    assert amended_after_a_move


def _write(store: Store, part: Sequence[tuple[int, Step]], order_id: int, cut: int) -> None:
    settlement = Settlement(INSTRUMENTS)
    for at, step in part:
        _tell(settlement.changes, step(order_id), NOW_NS + at, sequence=cut * STEPS + at)
    store.write(settlement, [], {})


def _tell(changes: OrderChanges, event: Any, at_ns: int, sequence: int) -> None:
    if isinstance(event, TradeExecuted):
        changes.trade(event)
        del changes.orders[event.seller_order_id]
        return
    changes.matched(
        CommandMatched(
            **{**envelope(), "occurred_at_ns": at_ns},
            symbol="BTCUSDT",
            sequence=sequence,
            previous_hash="",
            input_partition=0,
            input_offset=sequence,
            source_partition=0,
            source_offset=sequence,
            account_id=ALICE,
            last_update_id=0,
            last_trade_id=0,
            events=(event,),
        )
    )
    changes.prevented.clear()  # their ids are a symbol's


def _cut(script: Sequence[tuple[int, Step]], cut: int, dice: random.Random) -> list[list[tuple[int, Step]]]:
    """Return the steps in batches: all in one, each alone, or anyhow."""
    parts: list[list[tuple[int, Step]]] = [[]]
    for step in script:
        if parts[-1] and (cut == 1 or (cut > 1 and dice.random() < 0.5)):
            parts.append([])
        parts[-1].append(step)
    return parts


def _script(dice: random.Random) -> list[tuple[int, Step]]:
    return [(at, _step(dice.choice(KINDS), dice.randint(1, 999), at)) for at in range(STEPS)]


def _step(kind: int, lots: int, at: int) -> Step:
    def made(order_id: int) -> BookEvent | TradeExecuted:
        whose: dict[str, Any] = {"order_id": order_id, "account_id": ALICE, "side": Side.BUY}
        sizes: dict[str, Any] = {"quantity_lots": lots, "released_minor": 0}
        named: dict[str, Any] = {"client_order_id": f"{order_id}-{at}", "leaves_lots": lots}
        makers: tuple[Callable[[], BookEvent | TradeExecuted], ...] = (
            lambda: OrderMoved(**whose, **sizes, **named, price_ticks=lots),
            lambda: OrderAmended(**whose, **sizes, **named, previous_client_order_id="before"),
            lambda: OrderActivated(**whose, **sizes),
            lambda: OrderHeld(**whose, until="triggered"),
            lambda: OrderTriggered(**whose),
            lambda: _trade(order_id, lots),
            lambda: _prevented(order_id, lots, at),
            lambda: OrderExpired(
                **whose, reason=ExpiryReason.SELF_TRADE_PREVENTED, leaves_lots=0, released_minor=0
            ),
        )
        return makers[kind]()

    return made


def _trade(order_id: int, lots: int) -> TradeExecuted:
    return trade_executed(
        buyer_order_id=order_id, seller_order_id=-1, quantity_lots=lots, quote_minor=7 * lots
    )


def _prevented(order_id: int, lots: int, at: int) -> MatchPrevented:
    return MatchPrevented(
        prevented_match_id=at,
        account_id=ALICE,
        mode=SelfTradePrevention.EXPIRE_TAKER,
        price_ticks=1,
        taker_side=Side.BUY,
        taker_order_id=order_id,
        taker_prevented_lots=lots,
        taker_released_minor=0,
        maker_order_id=order_id,
        maker_prevented_lots=1,
        maker_released_minor=0,
        maker_leaves_lots=0,
    )
