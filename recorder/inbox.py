"""Records as read from the three input topics, and what makes one a poison record."""

from __future__ import annotations

import msgspec

from schemas.accounts import FEE_ACCOUNT
from schemas.codec import InvalidMessage, decoder_for, decoder_for_union
from schemas.events import ACCOUNT_EVENTS as ACCOUNT_EVENT_UNION
from schemas.events import AccountOpened, CommandMatched, FundsDeposited, TradeExecuted
from schemas.instruments import Instruments
from schemas.money import MAX_AMOUNT, PPM
from schemas.reasons import PoisonReason
from schemas.topics import ACCOUNT_EVENTS, MATCHED_EVENTS, TopicMap
from service_runtime.event_log import Record

Event = CommandMatched | TradeExecuted | AccountOpened | FundsDeposited

_matched = decoder_for(CommandMatched)
_trade = decoder_for(TradeExecuted)
_account = decoder_for_union(ACCOUNT_EVENT_UNION)
_MOST_TEXT = 200


class Poison(msgspec.Struct, frozen=True, gc=False):
    """A record that nobody can act on."""

    reason: PoisonReason
    detail: str


def read_event(record: Record, topics: TopicMap, instruments: Instruments) -> Event | Poison:
    """Decode one record and check that it can be. Raises NewerMessage.

    A matcher's record that is dropped here leaves a gap in its sequence, which stops the reader.
    """
    try:
        if record.topic == ACCOUNT_EVENTS:
            return _checked_account_event(_account(record.value), record, topics, instruments)
        event = _matched(record.value) if record.topic == MATCHED_EVENTS else _trade(record.value)
    except InvalidMessage as error:
        return Poison("decode_error", str(error))
    if event.symbol not in topics.symbols or instruments.get(event.symbol) is None:
        return Poison("validation_error", f"unknown symbol {event.symbol[:_MOST_TEXT]!r}")
    if topics.symbols[event.symbol] != record.partition:
        return Poison("wrong_partition", f"{event.symbol} belongs to {topics.symbols[event.symbol]}")
    return event


def _checked_account_event(
    event: AccountOpened | FundsDeposited, record: Record, topics: TopicMap, instruments: Instruments
) -> Event | Poison:
    if not FEE_ACCOUNT < event.account_id <= MAX_AMOUNT:
        return Poison("validation_error", f"account {event.account_id} cannot be a client's")
    expected = topics.partition_of_account(event.account_id, ACCOUNT_EVENTS)
    if expected != record.partition:
        return Poison("wrong_partition", f"account {event.account_id} belongs to {expected}")
    if isinstance(event, AccountOpened):
        fees_fit = 0 <= event.maker_fee_ppm <= PPM and 0 <= event.taker_fee_ppm <= PPM
        fit = fees_fit and _is_text(event.name) and _is_time(event.occurred_at_ns)
        return event if fit else Poison("validation_error", "impossible terms or time")
    if event.asset not in instruments.assets:
        return Poison("validation_error", f"unknown asset {event.asset[:_MOST_TEXT]!r}")
    fit = 0 < event.amount_minor <= MAX_AMOUNT and _is_text(event.deposit_id)
    if not fit or not _is_time(event.occurred_at_ns):
        return Poison("validation_error", "impossible amount, deposit id or time")
    return event


def _is_time(at_ns: int) -> bool:
    """Any year that fits: a time explains, and orders nothing."""
    return 0 <= at_ns <= MAX_AMOUNT


def _is_text(value: str) -> bool:
    """Postgres holds every character but NUL."""
    return 0 < len(value) <= _MOST_TEXT and "\0" not in value
