"""What the processor decided, read back from the topics: nothing is decided a second time.

A request with a command in `validated-orders` was accepted, whatever would be decided today. One without was
refused; why, `order-replies` still says for as long as it holds the reply.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from typing import cast

import msgspec

from processor.outcomes import Outcome
from processor.requests import Poison, Received, read_request
from schemas.codec import InvalidMessage, decoder_for, decoder_for_union
from schemas.commands import VALIDATED_ORDERS as COMMANDS
from schemas.events import RequestRejected
from schemas.reasons import RejectReason
from schemas.topics import ORDER_REPLIES, ORDER_REQUESTS, VALIDATED_ORDERS, TopicMap
from service_runtime.errors import LogFault
from service_runtime.event_log import EventLog, Record, TopicPartition

NOT_RECORDED = cast(RejectReason, "not_recorded")
"""In place of the reason of a refusal whose reply the log no longer holds."""
_REJECTED = b'{"type":"RequestRejected.v1"'
_command = decoder_for_union(COMMANDS)
_rejected = decoder_for(RequestRejected)
_Place = tuple[int, int]
"""partition and offset in `order-requests`"""


class _Source(msgspec.Struct, frozen=True, gc=False):
    symbol: str
    source_partition: int
    source_offset: int


_source = msgspec.json.Decoder(_Source).decode


class LoggedDecisions:
    """`starts`: where to begin in `order-requests`, by partition; `floors`: places in `validated-orders` and
    `order-replies` that are not behind the first decision of those. `unsent`: commands that may not have gone
    out yet, as the database holds them."""

    def __init__(
        self,
        log: EventLog,
        topics: TopicMap,
        starts: Mapping[int, int],
        floors: Mapping[TopicPartition, int],
        unsent: list[tuple[str, bytes]],
    ) -> None:
        self._event_log = log
        self._topics = topics
        self._starts = dict(starts)
        self._floors = floors
        self._unsent = unsent
        self._accepted: dict[int, set[int]] = {p: set() for p in starts}
        self._refusals: dict[_Place, RequestRejected] = {}
        self._commands: dict[TopicPartition, Generator[tuple[_Source, bytes], None, None]] = {}
        self._read: dict[tuple[TopicPartition, int], deque[tuple[int, bytes]]] = {}
        self._ends = {s: log.offsets(s)[1] for s in self._partitions(VALIDATED_ORDERS)}
        self._scan()

    def decided(self) -> dict[int, int]:
        """Return, by partition, the request after the last one of which the log holds a decision."""
        found = dict(self._starts)
        for partition, offsets in self._accepted.items():
            found[partition] = max(found[partition], max(offsets, default=-1) + 1)
        for partition, offset in self._refusals:
            found[partition] = max(found.get(partition, 0), offset + 1)
        return found

    def outcome(self, record: Record) -> tuple[Received, Outcome] | None:
        """Return what was decided; None for poison. Each partition's requests are asked for in order."""
        request = read_request(record, self._topics)
        if isinstance(request, Poison):
            return None
        place = (record.partition, record.offset)
        if record.offset in self._accepted[record.partition]:
            self._accepted[record.partition].remove(record.offset)
            return request, self._next_command(place, request.request.symbol)
        held = self._refusals.get(place)
        return request, held or _refusal(request, record)

    def close(self) -> None:
        """Give up what is being read."""
        for commands in self._commands.values():
            commands.close()

    # -- inside -----------------------------------------------------------------------------------

    def _scan(self) -> None:
        for source in self._partitions(VALIDATED_ORDERS):
            for seen, _ in self._rising(source):
                if seen.source_offset >= self._starts.get(seen.source_partition, 0):
                    self._accepted.setdefault(seen.source_partition, set()).add(seen.source_offset)
        for topic, value in self._unsent:
            if topic == ORDER_REPLIES:
                self._note_refusal(value)
        for source in self._partitions(ORDER_REPLIES):
            low, high = self._event_log.offsets(source)
            start = min(max(low, self._floors.get(source, 0)), high)
            for batch in self._event_log.read(source, start, high):
                for record in batch:
                    self._note_refusal(record.value)

    def _note_refusal(self, value: bytes) -> None:
        if not value.startswith(_REJECTED):
            return
        refusal = _rejected(value)
        if refusal.source_offset >= self._starts.get(refusal.source_partition, 0):
            self._refusals[refusal.source_partition, refusal.source_offset] = refusal

    def _rising(self, source: TopicPartition) -> Generator[tuple[_Source, bytes], None, None]:
        """Yield the commands that the matcher takes: one whose source it has passed is a repetition."""
        passed: dict[tuple[str, int], int] = {}
        low = self._event_log.offsets(source)[0]
        start = max(low, self._floors.get(source, 0))
        values = (
            record.value
            for batch in self._event_log.read(source, start, self._ends[source])
            for record in batch
        )
        for value in self._chained(values, source):
            try:
                seen = _source(value)
            except msgspec.DecodeError:
                continue
            if self._topics.symbols.get(seen.symbol) != source.partition:
                continue
            key = (seen.symbol, seen.source_partition)
            if seen.source_offset > passed.get(key, -1):
                passed[key] = seen.source_offset
                yield seen, value

    def _chained(self, values: Iterator[bytes], source: TopicPartition) -> Iterator[bytes]:
        yield from values
        for topic, value in self._unsent:
            if (
                topic == VALIDATED_ORDERS
                and self._topics.symbols.get(_source(value).symbol) == source.partition
            ):
                yield value

    def _next_command(self, place: _Place, symbol: str) -> Outcome:
        source = TopicPartition(VALIDATED_ORDERS, self._topics.symbols[symbol])
        read = self._read.setdefault((source, place[0]), deque())
        if source not in self._commands:
            self._commands[source] = self._rising(source)
        while True:
            while read:
                offset, value = read.popleft()
                if offset == place[1]:
                    return self._decoded(value)
            found = next(self._commands[source], None)
            if found is None:
                raise LogFault(f"{ORDER_REQUESTS}[{place[0]}] {place[1]}: its command is not of {symbol}")
            seen, value = found
            if seen.source_offset >= self._starts.get(seen.source_partition, 0):
                self._read.setdefault((source, seen.source_partition), deque()).append(
                    (seen.source_offset, value)
                )

    @staticmethod
    def _decoded(value: bytes) -> Outcome:
        try:
            command: Outcome = _command(value)
        except InvalidMessage as error:
            raise LogFault(f"{VALIDATED_ORDERS}: {error}") from error
        return command

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(topic, p) for p in range(self._topics.topics[topic].partitions)]


def _refusal(received: Received, record: Record) -> RequestRejected:
    request = received.request
    return RequestRejected(
        event_id=f"v-{received.partition}-{received.offset}",
        correlation_id=request.correlation_id,
        causation_id=request.event_id,
        occurred_at_ns=record.timestamp_ms * 1_000_000,
        source_partition=received.partition,
        source_offset=received.offset,
        account_id=request.account_id,
        symbol=request.symbol,
        client_order_id=request.client_order_id,
        reason=NOT_RECORDED,
    )
