"""`tapehouse audit --rebuild`: the topics from their beginning, into an empty database and empty books."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from schemas.instruments import load_instruments
from schemas.topics import VALIDATED_ORDERS, load_topics
from service_runtime.errors import InvariantBroken
from service_runtime.event_log import EventLog, TopicPartition
from service_runtime.postgres import connect
from service_runtime.settings import ServiceSettings
from tapehouse.audit.cut import Cut, cut, wait_until_settled
from tapehouse.audit.determinism import Replayed, replay_books
from tapehouse.audit.difference import Difference
from tapehouse.audit.same_tables import compare_tables
from tapehouse.audit.scratch_database import scratch_database
from tapehouse.replay.roll_forward import Ends, RollForward

Progress = Callable[[str, int, int], None]


@dataclass
class Rebuilt:
    records: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    """table -> rows that are equal"""
    books: Replayed | None = None
    difference: Difference | None = None
    seconds: float = 0.0


def rebuild(
    settings: ServiceSettings,
    log: EventLog,
    wait_s: float,
    server_dsn: str | None = None,
    progress: Progress = lambda *_: None,
) -> Rebuilt:
    """Compare everything with one snapshot of the live database. Raises NotSettled, psycopg.Error."""

    def live() -> psycopg.Connection:
        return psycopg.connect(
            settings.postgres.dsn,
            connect_timeout=settings.postgres.connect_timeout_s,
            application_name="audit",
        )

    progress("waiting for the recorder", 0, 0)
    wait_until_settled(live, log, load_topics(settings.topics_file), wait_s)
    result, started = Rebuilt(), time.monotonic()
    with cut(live) as snapshot, scratch_database(server_dsn or settings.postgres.dsn) as dsn:
        try:
            _fill(settings, log, snapshot, dsn, result, progress)
            with psycopg.connect(dsn) as rebuilt:
                result.tables = compare_tables(
                    snapshot.connection, rebuilt, lambda table, rows: progress(f"comparing {table}", rows, 0)
                )
            result.books = _books(settings, log, progress)
        except Difference as difference:
            result.difference = difference
        except InvariantBroken as error:
            result.difference = Difference("rebuild", str(error))
    result.seconds = time.monotonic() - started
    return result


def _fill(
    settings: ServiceSettings, log: EventLog, snapshot: Cut, dsn: str, result: Rebuilt, progress: Progress
) -> None:
    own = settings.postgres.model_copy(update={"dsn": dsn, "transaction_timeout_s": 0})
    run = RollForward(
        log,
        lambda: connect(own, "audit", wait=False),
        load_topics(settings.topics_file),
        load_instruments(settings.instruments_file),
        Ends(snapshot.requested, snapshot.recorded),
        unsent=snapshot.unsent,
        progress=lambda done, total: progress("rebuilding the database", done, total),
    )
    result.records = run.run()


def _books(settings: ServiceSettings, log: EventLog, progress: Progress) -> Replayed:
    topics = load_topics(settings.topics_file)
    partitions = range(topics.topics[VALIDATED_ORDERS].partitions)
    length = sum(log.offsets(TopicPartition(VALIDATED_ORDERS, p))[1] for p in partitions)
    done = 0

    def replayed(records: int) -> None:
        nonlocal done
        done += records
        progress("rebuilding the books", done, length)

    return replay_books(settings, log, processes=1, first_seed=0, progress=replayed)
