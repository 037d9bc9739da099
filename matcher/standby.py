"""Standby: follows the matchers' partitions, computes the same books, takes over where an owner is silent.

    python -m matcher.standby

Reads validated-orders and what the owner writes; writes nothing but what an owner left out, and then goes on
as the owner until the partition's matcher claims it again. `docs/standby.md` tells how.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from matcher.app import GC_THRESHOLDS
from matcher.claims import read
from matcher.following import Following
from matcher.handlers import MatcherHandler
from matcher.recovery import Recovered
from matcher.settings import StandbySettings
from matcher.succession import Patience, Step, Suspicion, after_claim
from schemas.events import PartitionClaimed
from schemas.topics import MATCHED_EVENTS, MATCHER_CLAIMS, TRADE_EXECUTION, VALIDATED_ORDERS
from service_runtime import telemetry
from service_runtime.clock import Clock, SystemClock
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.hot_book import HotBook
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.service import Service

_log = structlog.get_logger("standby")
_TELL_EVERY_S = 1.0
_ORDER = {VALIDATED_ORDERS: 0, MATCHED_EVENTS: 1, TRADE_EXECUTION: 2, MATCHER_CLAIMS: 3}
"""Of a batch, what is computed first: then what the owner made of it is compared without looking for it."""


@dataclass(slots=True)
class _Seat:
    """A partition we stand by for: led while nothing is `following`."""

    following: Following | None
    suspicion: Suspicion
    owner: str | None
    """Of the last claim that was no standby's."""
    heard: bool = False
    own: PartitionClaimed | None = None
    own_stored: bool = False
    """Claims that stand before ours are older than it."""
    led_since_s: float = 0.0


class StandbyHandler:
    """See `service_runtime.service.Handler`.

    The topics have the same partitions: who is given one of one topic is given it of all (range assignment).
    """

    topics = (VALIDATED_ORDERS, MATCHED_EVENTS, TRADE_EXECUTION, MATCHER_CLAIMS)
    group = "matcher-standby"

    def __init__(self, settings: StandbySettings, log: EventLog, hot: HotBook, clock: Clock) -> None:
        self._settings = settings
        self._event_log = log
        self._clock = clock
        self._leader = MatcherHandler(settings, log, hot, clock, standby=True)
        self._patience = Patience(
            settings.suspicion_ms_min / 1_000, settings.suspicion_ms_max / 1_000, settings.suspicion_factor
        )
        self._seats: dict[int, _Seat] = {}
        self._details: dict[str, Any] = {}
        self._told_at_s = 0.0
        self._take_overs = 0

    def leads(self, partition: int) -> bool:
        """Tell whether we stand in for the partition's owner. Raises KeyError."""
        return self._seats[partition].following is None

    # -- ownership --------------------------------------------------------------------------------

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        starts: dict[TopicPartition, int] = {}
        for partition in sorted({source.partition for source in partitions}):
            claims = TopicPartition(MATCHER_CLAIMS, partition)
            starts[claims] = self._event_log.offsets(claims)[1]
            last = self._leader.claims.last(partition)
            recovered = self._leader.recover(partition)
            starts[TopicPartition(VALIDATED_ORDERS, partition)] = recovered.books.next_offset
            starts[TopicPartition(MATCHED_EVENTS, partition)] = recovered.output_end
            starts[TopicPartition(TRADE_EXECUTION, partition)] = recovered.trades_end
            suspicion = Suspicion(self._patience, self._clock.monotonic_s())
            self._seats[partition] = _Seat(
                self._follow(recovered),
                suspicion,
                owner=None if last is None or last.standby else last.holder,
            )
        self._tell()
        return {source: starts[source] for source in partitions}

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        for partition in sorted({source.partition for source in partitions}):
            seat = self._seats.pop(partition, None)
            if seat is None:
                continue
            if seat.following is None:
                self._leader.retain(self._leader.give_up(partition))
            elif not seat.following.waits and not seat.following.may_bury:  # books remember no poison
                self._leader.retain(seat.following.books)

    # -- the batch --------------------------------------------------------------------------------

    def handle(self, batch: Sequence[Record]) -> Mapping[TopicPartition, int]:
        by_source: dict[TopicPartition, list[Record]] = {}
        for record in batch:
            by_source.setdefault(record.source, []).append(record)
        for source in sorted(by_source, key=lambda source: _ORDER[source.topic]):
            seat, records = self._seats[source.partition], by_source[source]
            if source.topic == MATCHER_CLAIMS:
                self._heed(source.partition, seat, records)
            elif seat.following is not None:
                self._compare(seat, seat.following, source.topic, records)
            elif source.topic == VALIDATED_ORDERS:
                self._leader.handle(records)
        return {source: records[-1].offset + 1 for source, records in by_source.items()}

    def idle(self) -> None:
        now_s = self._clock.monotonic_s()
        for partition, seat in self._seats.items():
            following = seat.following
            if following is not None:
                if seat.suspicion.look(now_s, following.waits, seat.heard):
                    self._take_over(partition, seat, following)
                seat.heard = False
        self._leader.idle()
        if now_s >= self._told_at_s + _TELL_EVERY_S:
            self._told_at_s = now_s
            self._tell()

    def close(self) -> None:
        self._leader.close()

    def details(self) -> dict[str, Any]:
        return self._details

    # -- inside -----------------------------------------------------------------------------------

    def _follow(self, recovered: Recovered) -> Following:
        return Following(recovered, self._settings.resent_replies, self._settings.max_batch)

    def _compare(self, seat: _Seat, following: Following, topic: str, records: list[Record]) -> None:
        if topic == VALIDATED_ORDERS:
            following.computed(*following.books.handle(self._leader.inbox, records))
        elif topic == MATCHED_EVENTS:
            for record in records:
                seat.heard = following.matched_shown(record) or seat.heard
        else:
            for record in records:
                seat.heard = following.trade_shown(record) or seat.heard

    def _take_over(self, partition: int, seat: _Seat, following: Following) -> None:
        missing = following.missing()
        seat.own, seat.own_stored = self._leader.take_over(missing, following.last()), False
        seat.following, seat.led_since_s = None, self._clock.monotonic_s()
        self._take_overs += 1
        telemetry.TAKE_OVERS.inc()
        _log.warning(
            "owner silent, taken over",
            partition=partition,
            owner=seat.owner,
            silent_ms=round(1_000 * seat.suspicion.silent_s, 1),
            limit_ms=round(1_000 * seat.suspicion.limit_s, 1),
            records=len(missing.records),
            trades=len(missing.trades),
        )

    def _heed(self, partition: int, seat: _Seat, records: list[Record]) -> None:
        """Yield to who has claimed after us."""
        for claim in filter(None, map(read, records)):
            same_life = claim.holder == seat.owner
            if not claim.standby:
                seat.owner = claim.holder
            if seat.following is not None or seat.own is None:
                continue
            if claim.event_id == seat.own.event_id:
                seat.own_stored = True
            elif seat.own_stored and after_claim(seat.own, claim) is Step.YIELD:
                led_s = self._clock.monotonic_s() - seat.led_since_s
                seat.suspicion.yielded(led_s, same_life)
                seat.following = self._follow(self._leader.step_down(partition))
                _log.warning("owner is back, followed", partition=partition, owner=claim.holder)

    def _tell(self) -> None:
        """Renew what /health/ready shows; it is read from another thread."""
        told = dict(self._leader.details().get("symbols", {}))
        for partition, seat in self._seats.items():
            if seat.following is None:
                continue
            for symbol, engine in seat.following.books.engines.items():
                told[symbol] = {
                    "partition": partition,
                    "sequence": engine.sequence,
                    "last_hash": engine.last_hash,
                    "shown": seat.following.shown(symbol),
                    "open_orders": len(engine.book.orders),
                }
        leads = {str(partition): seat.following is None for partition, seat in self._seats.items()}
        self._details = {"symbols": told, "leads": leads, "take_overs": self._take_overs}


def build(settings: StandbySettings, log: EventLog, clock: Clock) -> Service:
    return Service(
        "matcher-standby", settings, log, StandbyHandler(settings, log, HotBook(settings.redis), clock)
    )


def main() -> int:
    settings = StandbySettings()
    telemetry.configure("matcher-standby", settings.log_level)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    log = KafkaEventLog(settings.kafka, f"matcher-standby-{settings.instance}")
    return build(settings, log, SystemClock()).run()


if __name__ == "__main__":
    raise SystemExit(main())
