"""Processor: reserves balances and decides which requests reach the matcher.

Reads  order-requests (partition = account's). Writes validated-orders (partition = symbol's),
order-replies (the waiting worker's), Postgres first and the hot book second.
"""

from __future__ import annotations

from processor.handlers import ProcessorHandler
from processor.settings import ProcessorSettings
from processor.store import Store
from schemas.instruments import load_instruments
from schemas.topics import load_topics
from service_runtime import telemetry
from service_runtime.clock import Clock, SystemClock
from service_runtime.event_log import EventLog
from service_runtime.hot_book import HotBook
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.postgres import connect
from service_runtime.service import Service


def build(settings: ProcessorSettings, log: EventLog, clock: Clock) -> Service:
    """Compose the service; waits for Postgres."""
    instruments = load_instruments(settings.instruments_file)
    store = Store(connect(settings.postgres, f"processor-{settings.instance}"), instruments)
    handler = ProcessorHandler(
        log, store, HotBook(settings.redis), clock, load_topics(settings.topics_file), instruments
    )
    return Service("processor", settings, log, handler)


def main() -> int:
    settings = ProcessorSettings()
    telemetry.configure("processor", settings.log_level)
    with KafkaEventLog(settings.kafka, f"processor-{settings.instance}") as log:
        return build(settings, log, SystemClock()).run()
