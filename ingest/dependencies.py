"""Is the exchange there? A cheap view of Kafka and Postgres, so that orders are refused before acceptance."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition

from schemas import public_errors as errors
from schemas.topics import ORDER_REQUESTS
from service_runtime.kafka_log import common_config
from service_runtime.settings import KafkaSettings

_log = structlog.get_logger("dependencies")
_PAUSE_S = 0.5
_LOOKS_PER_PAUSE = 5


class Dependencies:
    """What the routes ask before they accept an order. Written by the probes, read on the loop."""

    def __init__(self) -> None:
        self.kafka_away = True
        self.postgres_away = True

    def require_all(self) -> None:
        """Raise -1008 (503, Retry-After) while an order could not be carried out."""
        if self.kafka_away or self.postgres_away:
            raise errors.OVERLOADED(retry_after=errors.RETRY_AFTER_S)

    def kafka(self, away: bool, why: str = "") -> None:
        if away != self.kafka_away:
            self.kafka_away = away
            _log.warning("Kafka away, orders are refused", error=why) if away else _log.info("Kafka answers")

    def postgres(self, away: bool, why: str = "") -> None:
        if away != self.postgres_away:
            self.postgres_away = away
            if away:
                _log.warning("Postgres away, orders are refused", error=why)
            else:
                _log.info("Postgres answers")

    def details(self) -> dict[str, bool]:
        return {"kafka": not self.kafka_away, "postgres": not self.postgres_away}


class KafkaProbe:
    """A thread that asks the broker for an offset twice a second, and hears at once when it is gone."""

    def __init__(
        self, settings: KafkaSettings, client_id: str, silence_s: float, report: Callable[[bool, str], None]
    ) -> None:
        self._config = common_config(settings, client_id) | {
            "group.id": client_id,
            "error_cb": self._heard_error,
            "log_level": 2,
        }
        self._silence_s = silence_s
        self._report = report
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafka-probe", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; it does within a fifth of a second, or its silence when the broker is away."""
        self._stopping.set()

    def join(self) -> None:
        self._thread.join(self._silence_s + 1.0)

    def _heard_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._report(True, error.str())

    def _run(self) -> None:
        consumer = Consumer(self._config)
        place = KafkaTopicPartition(ORDER_REQUESTS, 0)
        try:
            while not self._stopping.is_set():
                try:
                    consumer.get_watermark_offsets(place, timeout=self._silence_s)
                    self._report(False, "")
                except KafkaException as error:
                    self._report(True, error.args[0].str())
                for _ in range(_LOOKS_PER_PAUSE):
                    if not self._stopping.is_set():
                        consumer.poll(_PAUSE_S / _LOOKS_PER_PAUSE)
        finally:
            consumer.close()
