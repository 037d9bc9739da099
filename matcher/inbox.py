"""Records of `validated-orders`, sorted into commands and poison by a pure function of their bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from matcher.symbol_engine import Command, Input
from schemas.codec import InvalidMessage, NewerMessage, decoder_for_union
from schemas.commands import VALIDATED_ORDERS
from schemas.instruments import Instruments
from schemas.reasons import PoisonReason
from schemas.topics import TopicMap
from service_runtime.errors import LogFault
from service_runtime.event_log import Record

_decode = decoder_for_union(VALIDATED_ORDERS)


class Poison(NamedTuple):
    record: Record
    reason: PoisonReason
    detail: str


class Inbox:
    """Knows which symbols exist and where they belong."""

    def __init__(self, topics: TopicMap, instruments: Instruments) -> None:
        self._partitions = {s: p for s, p in topics.symbols.items() if instruments.get(s) is not None}

    def sort(self, records: Iterable[Record]) -> tuple[dict[str, list[Input]], list[Poison]]:
        """Return the commands by symbol, each in order, and the poison.

        Raises LogFault for a message of a later version: it must not be skipped.
        """
        inputs: dict[str, list[Input]] = {}
        poison = []
        partitions = self._partitions
        command: Command
        for record in records:
            try:
                command = _decode(record.value)
            except InvalidMessage as error:
                poison.append(Poison(record, "decode_error", str(error)))
                continue
            except NewerMessage as error:
                raise LogFault(f"{record.topic}[{record.partition}] {record.offset}: {error}") from error
            symbol = command.symbol
            if partitions.get(symbol) != record.partition:
                poison.append(self._misplaced(record, symbol))
                continue
            given = Input(record.partition, record.offset, command)
            batch = inputs.get(symbol)
            if batch is None:
                inputs[symbol] = [given]
            else:
                batch.append(given)
        return inputs, poison

    def _misplaced(self, record: Record, symbol: str) -> Poison:
        partition = self._partitions.get(symbol)
        if partition is None:
            return Poison(record, "validation_error", f"unknown symbol {symbol}")
        return Poison(record, "wrong_partition", f"{symbol} belongs to partition {partition}")
