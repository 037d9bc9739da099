"""The audit: invariants of a running exchange, from its topics, its tables and its hot book."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from schemas.instruments import load_instruments
from schemas.topics import MATCHED_EVENTS, VALIDATED_ORDERS, load_topics
from service_runtime.event_log import EventLog, TopicPartition
from service_runtime.settings import ServiceSettings
from tapehouse.audit import tables
from tapehouse.audit.causes import check_causes
from tapehouse.audit.cut import Cut, cut, wait_until_settled
from tapehouse.audit.determinism import replay_books
from tapehouse.audit.difference import Difference
from tapehouse.audit.hot import check_hot_book
from tapehouse.audit.journal import check_journal
from tapehouse.audit.redelivery import check_redelivery
from tapehouse.audit.scan import Scanner, add_unmatched
from tapehouse.audit.stored import StoredHistory
from tapehouse.audit.unknown import check_unknown

NAMES = {
    "I1": "conservation",
    "I2": "double entry",
    "I3": "one history per order",
    "I4": "trades: topic, table, ledger",
    "I5": "sequences without gap",
    "I6": "book: log, hot book",
    "I7": "determinism",
    "I8": "no invention",
    "I9": "fairness",
    "I10": "idempotence",
    "I11": "unknown answers",
}
DEEP = frozenset({"I7", "I8", "I10"})
"""Not checked unless asked for: they take as long as the log is long, several times over."""
SCANNED = ("I1", "I2", "I3", "I4", "I5", "I6", "I9")
"""One reading of the topics serves them all."""
Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, how much there is."""


@dataclass
class Report:
    """One verdict per invariant; the audit stops at the first difference."""

    verdicts: dict[str, str] = field(default_factory=dict)
    """invariant -> what was checked; missing: not come to."""
    difference: Difference | None = None
    records: int = 0
    seconds: float = 0.0
    wanted: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return self.difference is None


@dataclass(frozen=True)
class Options:
    wait_s: float = 60.0
    """How long processor, recorder and hot book may take to come to the end of the log."""
    journal: Path | None = None
    deep: bool = False
    only: frozenset[str] = frozenset()

    def wanted(self) -> tuple[str, ...]:
        """Return what to check, in order; the journal's part when there is a journal."""
        chosen = self.only or frozenset(NAMES) - (frozenset() if self.deep else DEEP)
        return tuple(name for name in NAMES if name in chosen and (name != "I11" or self.journal))


def audit(
    settings: ServiceSettings,
    log: EventLog,
    options: Options,
    progress: Progress = lambda *_: None,
) -> Report:
    """Check everything against one snapshot of Postgres. Raises NotSettled, psycopg.OperationalError."""

    def connect() -> psycopg.Connection:
        connect_timeout = settings.postgres.connect_timeout_s
        return psycopg.connect(
            settings.postgres.dsn, connect_timeout=connect_timeout, application_name="audit"
        )

    progress("waiting for the recorder", 0, 0)
    wait_until_settled(connect, log, load_topics(settings.topics_file), options.wait_s)
    report, started = Report(wanted=options.wanted()), time.monotonic()
    with cut(connect) as snapshot:
        try:
            if any(name in report.wanted for name in SCANNED):
                _check_scanned(settings, log, options, snapshot, report, progress)
            _check_others(settings, log, options, snapshot, report, progress)
        except Difference as difference:
            report.difference = difference
            report.verdicts.pop(difference.invariant, None)
    report.seconds = time.monotonic() - started
    return report


def _check_scanned(
    settings: ServiceSettings,
    log: EventLog,
    options: Options,
    snapshot: Cut,
    report: Report,
    progress: Progress,
) -> None:
    topics, instruments = load_topics(settings.topics_file), load_instruments(settings.instruments_file)
    stored = StoredHistory(snapshot.connection)
    done = 0

    def scanned(count: int) -> None:
        nonlocal done
        done += count
        progress("reading the topics", done, length)

    scanner = Scanner(log, topics, instruments, snapshot, stored, scanned)
    length = scanner.length()
    scan = scanner.run()
    report.records = scan.records
    report.verdicts["I5"] = f"{scan.records} records, {scan.repeated} repeated, {scan.unreadable} unreadable"
    report.verdicts["I9"] = f"{scan.fair_trades} trades, each of the order whose turn it was"
    progress("checking the tables", 0, 0)
    for symbol, book in scan.books.items():
        scanner.flush_ended(book)
        add_unmatched(book.orders, scan.unmatched_trades.get(symbol, {}))
        stored.open(symbol, book.orders)
        book.check_levels()
    stored.check_counts(scan.accepted)
    told = check_journal(snapshot.connection, options.journal) if options.journal is not None else None
    report.verdicts["I3"] = f"{stored.orders_ended} ended orders" + (
        "" if told is None else f", {told} acknowledged in the journal"
    )
    tables.check_references(snapshot.connection)
    report.verdicts["I4"] = f"{stored.trades_seen} trades"
    balances = tables.check_wallets(snapshot.connection, scan.balances.rows())
    report.verdicts["I1"] = f"{tables.check_conservation(snapshot.connection)}, {balances}"
    report.verdicts["I2"] = tables.check_double_entry(snapshot.connection)
    progress("comparing the hot book", 0, 0)
    skipped = []
    for symbol, book in scan.books.items():
        source = TopicPartition(MATCHED_EVENTS, topics.symbols[symbol])
        start = snapshot.recorded.get(source, 0)
        why = check_hot_book(settings.redis, log, topics, book, start, options.wait_s)
        skipped += [f"{symbol}: {why}"] if why else []
    report.verdicts["I6"] = f"{len(scan.books)} books" + (
        f" (hot book not compared: {'; '.join(skipped)})" if skipped else ""
    )


def _check_others(
    settings: ServiceSettings,
    log: EventLog,
    options: Options,
    snapshot: Cut,
    report: Report,
    progress: Progress,
) -> None:
    topics = load_topics(settings.topics_file)
    if "I7" in report.wanted:
        report.verdicts["I7"] = _check_determinism(settings, log, report, progress)
    if "I8" in report.wanted:
        bar = Bar(progress, "looking for causes", 0)
        report.verdicts["I8"] = check_causes(log, topics, bar.add)
    if "I10" in report.wanted:
        report.verdicts["I10"] = check_redelivery(
            settings, log, snapshot, lambda done, total: progress("rebuilding a copy", done, total)
        )
    if "I11" in report.wanted and options.journal is not None:
        bar = Bar(progress, "looking for lost answers", sum(snapshot.requested.values()))
        outcome = check_unknown(
            snapshot.connection, log, topics, snapshot.requested, options.journal, bar.add
        )
        report.verdicts["I11"] = str(outcome)


def _check_determinism(settings: ServiceSettings, log: EventLog, report: Report, progress: Progress) -> str:
    topics = load_topics(settings.topics_file)
    sources = [TopicPartition(VALIDATED_ORDERS, p) for p in range(topics.topics[VALIDATED_ORDERS].partitions)]
    length, records = sum(log.offsets(source)[1] for source in sources), 0
    for processes, seed in ((1, 0), (len(sources), 1)):
        bar = Bar(progress, f"replaying with {processes} process(es)", length)
        records = replay_books(settings, log, processes, seed, bar.add).records
        report.records += records
    seeds = f"PYTHONHASHSEED 0 and 1 to {len(sources)}"
    return f"{records} records byte for byte, on 1 and {len(sources)} processes, {seeds}"


class Bar:
    """Adds up what a check has done."""

    def __init__(self, progress: Progress, what: str, length: int) -> None:
        self._progress, self._what, self._length = progress, what, length
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        self._progress(self._what, self._done, self._length)
