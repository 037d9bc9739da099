"""A matcher that should not be there: it owns every partition beside the one that does (F7).

Run as `python -m tapehouse.chaos.second_matcher`. A group of its own gives it all the partitions.
"""

from __future__ import annotations

from matcher.handlers import MatcherHandler
from matcher.settings import MatcherSettings
from service_runtime import telemetry
from service_runtime.clock import SystemClock
from service_runtime.hot_book import HotBook
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.service import Service


class SecondMatcher(MatcherHandler):
    group = "chaos-second-matcher"


def main() -> int:
    settings = MatcherSettings()
    telemetry.configure("matcher", settings.log_level)
    log = KafkaEventLog(settings.kafka, f"chaos-second-matcher-{settings.instance}")
    handler = SecondMatcher(settings, log, HotBook(settings.redis), SystemClock())
    return Service("chaos-second-matcher", settings, log, handler).run()


if __name__ == "__main__":
    raise SystemExit(main())
