"""Builds the matcher from settings and a log; tests call the same `build` with a MemoryEventLog."""

from __future__ import annotations

import gc

from matcher.handlers import MatcherHandler
from matcher.settings import MatcherSettings
from service_runtime import telemetry
from service_runtime.clock import Clock, SystemClock
from service_runtime.event_log import EventLog
from service_runtime.hot_book import HotBook
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.service import Service

GC_THRESHOLDS = (50_000, 20, 50)
"""What a batch makes is gone after it: looking for cycles among it every 700 objects costs a tenth."""


def build(settings: MatcherSettings, log: EventLog, clock: Clock) -> Service:
    return Service("matcher", settings, log, MatcherHandler(settings, log, HotBook(settings.redis), clock))


def main() -> int:
    settings = MatcherSettings()
    telemetry.configure("matcher", settings.log_level)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    log = KafkaEventLog(settings.kafka, f"matcher-{settings.instance}")
    return build(settings, log, SystemClock()).run()
