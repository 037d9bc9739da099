"""I10: records that are delivered again change nothing, in a copy that is rebuilt from the topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec
import psycopg
from psycopg import sql

from processor.questions import Questions
from processor.store import Store as ProcessorStore
from recorder.handlers import RecorderHandler
from recorder.store import Store as RecorderStore
from schemas.instruments import load_instruments
from schemas.topics import ORDER_REQUESTS, VALIDATED_ORDERS, load_topics
from service_runtime.clock import SystemClock
from service_runtime.errors import Fenced
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.postgres import connect
from service_runtime.settings import ServiceSettings
from tapehouse.audit.cut import Cut
from tapehouse.audit.difference import differs
from tapehouse.audit.engine_worker import Engines
from tapehouse.audit.same_tables import TABLES
from tapehouse.audit.scratch_database import scratch_database
from tapehouse.replay.bounded_log import BoundedLog
from tapehouse.replay.roll_forward import RECORDER_TOPICS, Ends, RollForward

LAST = 1_000
"""So many records of each topic are delivered again."""


def check_redelivery(
    settings: ServiceSettings,
    log: EventLog,
    snapshot: Cut,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> str:
    """Return what was delivered again. Raises Difference."""
    topics, instruments = load_topics(settings.topics_file), load_instruments(settings.instruments_file)
    with scratch_database(settings.postgres.dsn) as dsn:
        own = settings.postgres.model_copy(update={"dsn": dsn, "transaction_timeout_s": 0})
        ends = Ends(snapshot.requested, snapshot.recorded)
        RollForward(
            log,
            lambda: connect(own, "audit", wait=False),
            topics,
            instruments,
            ends,
            unsent=snapshot.unsent,
            progress=progress,
        ).run()
        before = _fingerprints(dsn)
        connections = [connect(own, "audit", wait=False) for _ in range(2)]
        try:
            again = _recorder(settings, log, connections[0], snapshot.recorded)
            _processor(ProcessorStore(connections[1], instruments), snapshot.requested)
        finally:
            for connection in connections:
                connection.close()
        after = _fingerprints(dsn)
    for table, fingerprint in before.items():
        if after[table] != fingerprint:
            differs("I10", f"table {table} changed when the last {LAST} records of each topic came again")
    return f"{again + _matcher(settings, log)} records again, no table and no book changed"


def _recorder(
    settings: ServiceSettings,
    log: EventLog,
    connection: psycopg.Connection,
    ends: Mapping[TopicPartition, int],
) -> int:
    """Deliver the last records as if they had been written once more behind the last one."""
    topics, instruments = load_topics(settings.topics_file), load_instruments(settings.instruments_file)
    handler = RecorderHandler(
        BoundedLog(log, ends), RecorderStore(connection), SystemClock(), topics, instruments
    )
    sources = [TopicPartition(t, p) for t in RECORDER_TOPICS for p in range(topics.topics[t].partitions)]
    handler.on_assigned(sources)
    count = 0
    for source in sources:
        end = ends.get(source, 0)
        for batch in _last(log, source, end):
            again = [msgspec.structs.replace(r, offset=end + n) for n, r in enumerate(batch)]
            handler.handle(again)
            end += len(again)
            count += len(again)
    return count


def _processor(store: ProcessorStore, requested: Mapping[int, int]) -> None:
    """A processor that is given requests again finds that their position has passed."""
    for partition, position in requested.items():
        if not position:
            continue
        try:
            store.read(Questions({partition: position - 1}, [], [], [], []))
        except Fenced:
            continue
        differs("I10", f"{ORDER_REQUESTS}[{partition}] offset {position - 1} would be decided again")


def _matcher(settings: ServiceSettings, log: EventLog) -> int:
    topics, count = load_topics(settings.topics_file), 0
    for partition in range(topics.topics[VALIDATED_ORDERS].partitions):
        source = TopicPartition(VALIDATED_ORDERS, partition)
        end = log.offsets(source)[1]
        engines = Engines(settings.topics_file, settings.instruments_file, {})
        for batch in log.read(source, 0, end):
            engines.apply([(partition, record.offset, record.value) for record in batch])
        for batch in _last(log, source, end):
            made = engines.apply([(partition, end + n, r.value) for n, r in enumerate(batch)]).made
            if made:
                differs("I10", f"{source.topic}[{partition}]: a command that came again made {made[0]}")
            count += len(batch)
    return count


def _last(log: EventLog, source: TopicPartition, end: int) -> Iterator[list[Record]]:
    start = max(end - LAST, log.offsets(source)[0])
    return log.read(source, start, end) if start < end else iter(())


def _fingerprints(dsn: str) -> dict[str, tuple[object, ...]]:
    found = {}
    with psycopg.connect(dsn) as connection:
        for name in {table.name for table in TABLES}:
            query = sql.SQL("SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM {} t")
            row = connection.execute(query.format(sql.Identifier(name))).fetchone()
            assert row is not None
            found[name] = tuple(row)
    return found
