"""Which records of a topic say again what an earlier record said; pure.

A take-over of the matcher, or a restart of the processor, writes records a second time. Each topic has
a number that rises, and what does not rise is dropped.
"""

from __future__ import annotations

from collections.abc import Callable

from schemas import topics
from schemas.commands import MatcherCommand
from schemas.envelope import Message
from schemas.events import CommandMatched, DeadLetter, RequestRejected, TradeBar, TradeExecuted
from service_runtime.event_log import Record
from service_runtime.sequence import MatchedSequence, TradeSequence

Place = tuple[object, ...]


class Duplicates:
    """Decides for each record of one topic whether it is the first of its kind.

    `checked`: the replay begins where the log does, so every sequence must be whole; then SequenceGap
    and ChainBroken are raised. Otherwise only what does not rise is dropped. One number is kept per
    symbol (dead letters: per letter).
    """

    def __init__(self, topic: str, *, checked: bool) -> None:
        self.dropped = 0
        self._matched = MatchedSequence() if checked and topic == topics.MATCHED_EVENTS else None
        self._trades = TradeSequence() if checked and topic == topics.TRADE_EXECUTION else None
        self._place = _PLACES.get(topic)
        self._last: dict[Place, int] = {}
        self._letters: set[Place] = set()

    def is_first(self, record: Record, message: Message) -> bool:
        first = self._decide(record, message)
        if not first:
            self.dropped += 1
        return first

    def _decide(self, record: Record, message: Message) -> bool:
        if self._matched is not None and isinstance(message, CommandMatched):
            return self._matched.accept(message, record.value)
        if self._trades is not None and isinstance(message, TradeExecuted):
            return self._trades.accept(message)
        if isinstance(message, DeadLetter):
            letter = (message.source_topic, message.source_partition, message.source_offset)
            known = letter in self._letters
            self._letters.add(letter)
            return not known
        if self._place is None:
            return True
        place, number = self._place(record, message)
        if number <= self._last.get(place, -1):
            return False
        self._last[place] = number
        return True


def _matched(_: Record, message: Message) -> tuple[Place, int]:
    assert isinstance(message, CommandMatched)
    return (message.symbol,), message.sequence


def _trade(_: Record, message: Message) -> tuple[Place, int]:
    assert isinstance(message, TradeExecuted)
    return (message.symbol,), message.trade_id


def _command(_: Record, message: Message) -> tuple[Place, int]:
    assert isinstance(message, MatcherCommand)
    return (message.symbol, message.source_partition), message.source_offset


def _reply(record: Record, message: Message) -> tuple[Place, int]:
    if isinstance(message, CommandMatched):
        return ("matched", record.partition, message.symbol), message.sequence
    assert isinstance(message, RequestRejected)
    return ("rejected", record.partition, message.source_partition), message.source_offset


def _bar(_: Record, message: Message) -> tuple[Place, int]:
    assert isinstance(message, TradeBar)
    return (message.symbol,), message.last_trade_id


_PLACES: dict[str, Callable[[Record, Message], tuple[Place, int]]] = {
    topics.MATCHED_EVENTS: _matched,
    topics.TRADE_EXECUTION: _trade,
    topics.VALIDATED_ORDERS: _command,
    topics.ORDER_REPLIES: _reply,
    topics.TRADE_BARS: _bar,
}
