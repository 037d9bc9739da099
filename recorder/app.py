"""Recorder: settles what happened, in Postgres, its positions in the same transaction.

Reads  matched-events, trade-execution (partition = symbol's), account-events (partition = account's).
Writes Postgres: orders, trades, wallets, ledger, deposits, accounts, settled.
"""

from __future__ import annotations

from recorder.handlers import RecorderHandler
from recorder.settings import RecorderSettings
from recorder.store import Store
from schemas.instruments import load_instruments
from schemas.topics import load_topics
from service_runtime import telemetry
from service_runtime.clock import Clock, SystemClock
from service_runtime.event_log import EventLog
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.postgres import connect
from service_runtime.service import Service


def build(settings: RecorderSettings, log: EventLog, clock: Clock) -> Service:
    """Compose the service; waits for Postgres."""
    store = Store(connect(settings.postgres, f"recorder-{settings.instance}"))
    topics, instruments = load_topics(settings.topics_file), load_instruments(settings.instruments_file)
    handler = RecorderHandler(log, store, clock, topics, instruments)
    return Service("recorder", settings, log, handler)


def main() -> int:
    settings = RecorderSettings()
    telemetry.configure("recorder", settings.log_level)
    with KafkaEventLog(settings.kafka, f"recorder-{settings.instance}", settings.gather_ms) as log:
        return build(settings, log, SystemClock()).run()
