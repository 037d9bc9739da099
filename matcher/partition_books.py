"""The engines of one partition, as this process knows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from matcher.inbox import Inbox, Poison
from matcher.symbol_engine import Matched, SymbolEngine
from schemas.instruments import Instruments
from service_runtime.event_log import Record


@dataclass(slots=True)
class PartitionBooks:
    """`next_offset` is the input record to be handled next. `output_floors`: for each symbol a place in
    `matched-events` that is not behind its last record, nor behind the first one that follows it.
    `slots`: of the snapshot it started from."""

    partition: int
    engines: dict[str, SymbolEngine]
    next_offset: int = 0
    output_floors: dict[str, int] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)

    @classmethod
    def empty(cls, partition: int, symbols: Iterable[str], instruments: Instruments) -> PartitionBooks:
        return cls(partition, {s: SymbolEngine(instruments[s]) for s in symbols})

    def handle(self, inbox: Inbox, records: list[Record]) -> tuple[dict[str, list[Matched]], list[Poison]]:
        """Apply records that follow each other; return what came of them by symbol, and the poison.

        An engine whose snapshot is ahead of the others drops again what it has handled: its source
        offsets were passed.
        """
        inputs, poison = inbox.sort(records)
        self.next_offset = records[-1].offset + 1
        done = {}
        for symbol, batch in inputs.items():
            matched = self.engines[symbol].apply(batch)
            if matched:
                done[symbol] = matched
        return done, poison

    def note_position(self) -> None:
        """Tell every engine how far the input was handled, so that an idle symbol's snapshot is recent."""
        for engine in self.engines.values():
            engine.input_partition = self.partition
            engine.input_offset = max(engine.input_offset, self.next_offset - 1)
