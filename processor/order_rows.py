"""Accepted orders as columns of `orders` and of the ledger rows that their locks are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from processor.outcomes import Outcome
from processor.reservations import locked_asset, locks_of_list
from schemas.commands import EnterOrder, EnterOrderList, OrderTerms, ReplaceRestingOrder
from schemas.events import HeldUntil
from schemas.instruments import Instruments
from schemas.orders import STOP_TYPES, OrderListKind
from service_runtime.sql_arrays import ints, texts

Accepting = EnterOrder | EnterOrderList | ReplaceRestingOrder


class AcceptedOrder(NamedTuple):
    """One order that a command brings to the book."""

    command: Accepting
    terms: EnterOrder | OrderTerms
    locked_minor: int
    """What the processor locked for it: nothing for a leg that another one pays for."""
    leg: int = 0
    waits_for: HeldUntil | None = None
    list_id: int | None = None


def accepted_orders(outcomes: Iterable[Outcome]) -> list[AcceptedOrder]:
    accepted: list[AcceptedOrder] = []
    for outcome in outcomes:
        if isinstance(outcome, EnterOrder):
            accepted.append(AcceptedOrder(outcome, outcome, outcome.reserved_minor, 0, _trigger(outcome)))
        elif isinstance(outcome, ReplaceRestingOrder):
            order = outcome.order
            accepted.append(AcceptedOrder(outcome, order, outcome.reserved_minor, 0, _trigger(order)))
        elif isinstance(outcome, EnterOrderList):
            accepted += _legs(outcome)
    return accepted


def _trigger(terms: EnterOrder | OrderTerms) -> HeldUntil | None:
    return "triggered" if terms.order_type in STOP_TYPES else None


def _legs(entered: EnterOrderList) -> list[AcceptedOrder]:
    locks = locks_of_list(entered.kind, [leg.reserved_minor for leg in entered.legs])
    legs: list[AcceptedOrder] = []
    for number, (leg, locked) in enumerate(zip(entered.legs, locks, strict=True)):
        pending = number > 0 and entered.kind is not OrderListKind.OCO
        waits_for: HeldUntil | None = "working_order_filled" if pending else _trigger(leg)
        legs.append(AcceptedOrder(entered, leg, locked, number, waits_for, entered.list_id))
    return legs


def order_columns(accepted: Sequence[AcceptedOrder], instruments: Instruments) -> tuple[str, ...]:
    symbols = instruments.symbols
    commands, terms = [a.command for a in accepted], [a.terms for a in accepted]
    of = [symbols[c.symbol] for c in commands]
    return (
        ints([t.order_id for t in terms]),
        ints([c.account_id for c in commands]),
        texts([c.symbol for c in commands]),
        texts([t.client_order_id for t in terms]),
        texts([t.side for t in terms]),
        texts([t.order_type for t in terms]),
        texts([t.time_in_force for t in terms]),
        ints([t.price_ticks for t in terms]),
        ints([t.quantity_lots for t in terms]),
        ints([t.quote_budget_minor for t in terms]),
        ints([t.reserved_minor for t in terms]),
        texts([locked_asset(t.side, i) for t, i in zip(terms, of, strict=True)]),
        ints([c.maker_fee_ppm for c in commands]),
        ints([c.taker_fee_ppm for c in commands]),
        ints([c.occurred_at_ns for c in commands]),
        texts([t.self_trade_prevention or i.self_trade_prevention for t, i in zip(terms, of, strict=True)]),
        *_special_columns(accepted),
    )


def _special_columns(accepted: Sequence[AcceptedOrder]) -> tuple[str, ...]:
    """Return what a plain order has not: most batches are all plain, and then nothing is looked at twice."""
    if all(map(_plain, accepted)):
        nulls, empty, zeros = (f"{{{','.join([text] * len(accepted))}}}" for text in ("NULL", '""', "0"))
        locked = ints([a.locked_minor for a in accepted])
        return (nulls, nulls, nulls, nulls, empty, locked, zeros, nulls, nulls)
    terms = [a.terms for a in accepted]
    return (
        ints([t.stop_price_ticks for t in terms]),
        ints([t.trailing_delta_bips for t in terms]),
        ints([t.display_lots for t in terms]),
        ints([a.list_id for a in accepted]),
        texts([a.waits_for or "" for a in accepted]),
        ints([a.locked_minor for a in accepted]),
        ints([a.leg for a in accepted]),
        ints([t.strategy_id for t in terms]),
        ints([t.strategy_type for t in terms]),
    )


def _plain(accepted: AcceptedOrder) -> bool:
    terms = accepted.terms
    return (
        accepted.waits_for is None
        and accepted.list_id is None
        and terms.display_lots is None
        and terms.strategy_id is None
        and terms.strategy_type is None
    )


def list_columns(entered: Sequence[EnterOrderList]) -> tuple[str, ...]:
    return (
        ints([e.list_id for e in entered]),
        ints([e.account_id for e in entered]),
        texts([e.symbol for e in entered]),
        texts([e.kind for e in entered]),
        texts([e.client_order_id for e in entered]),
        ints([e.occurred_at_ns for e in entered]),
    )
