"""THE loop of every service that reads the log: poll, handle, tell, until told to stop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import structlog

from schemas.codec import NewerMessage
from service_runtime import failpoints, telemetry
from service_runtime.errors import Fault
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.failpoints import Failpoint, reach
from service_runtime.settings import ServiceSettings

_log = structlog.get_logger("service")
_COMMIT_EVERY_S = 1.0
"""Offsets of the group only tell operators how far it is: the services' positions are elsewhere."""
_TELL_AGAIN_S = 10.0
"""Nobody waits for a commit's answer, so what one lost is told again: a quiet topic shows no lag for ever."""
_LAG_EVERY_S = 1.0
_LARGE_BATCH = 200
_LONGEST_REST_S = 0.04
_LOOK_EVERY_S = 0.5
EXIT_FAULT = 1
EXIT_STALLED = 70


def rest_after(records: int, took_s: float, settings: ServiceSettings) -> float:
    """Return for how long to rest after a batch.

    Who never rests on a full machine makes ever smaller batches, and each of them costs all others their
    turn. So a small batch is followed by a rest of a share of what it took; a large one is worth its costs.
    """
    rest_s = settings.batch_interval_ms / 1_000 - took_s
    if records < _LARGE_BATCH:
        rest_s = max(rest_s, min(took_s * settings.rest_share, _LONGEST_REST_S))
    return max(rest_s, 0.0)


class Handler(Protocol):
    """What a service does with records. Called from one thread only."""

    @property
    def topics(self) -> Sequence[str]: ...

    @property
    def group(self) -> str: ...

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Recover what is needed for the partitions and return where to start each."""
        ...

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None: ...

    def handle(self, batch: Sequence[Record]) -> Mapping[TopicPartition, int]:
        """Handle the batch completely and durably; return the next offset of each partition in it."""
        ...

    def idle(self) -> None:
        """Called between batches, at least every 0.2 s while there is nothing to do."""
        ...

    def close(self) -> None: ...

    def details(self) -> dict[str, Any]:
        """Fields for /health/ready: what an operator wants to see. Called from another thread."""
        ...


class Service:
    """Runs one handler on one log. `run` returns the process's exit code."""

    def __init__(self, name: str, settings: ServiceSettings, log: EventLog, handler: Handler) -> None:
        failpoints.arm_from(settings, name)
        self._name = name
        self._settings = settings
        self._event_log = log
        self._handler = handler
        self._stopping = threading.Event()
        self._beat = time.monotonic()
        self.health = telemetry.Health(self._details)
        self._lags: dict[TopicPartition, int] = {}
        self._assigned = False
        self._hints: dict[TopicPartition, int] = {}

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> int:
        """Work until SIGTERM, SIGINT or `stop`: 0 stopped, 1 fault (logged in one line)."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop())
        server = telemetry.HealthServer(self._settings.health_host, self._settings.health_port, self.health)
        server.start()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        code = EXIT_FAULT
        try:
            self._loop()
            code = 0
        except (Fault, NewerMessage) as fault:
            _log.error("service stops on a fault", kind=type(fault).__name__, fault=str(fault))
        except Exception:
            _log.exception("service stops on an unexpected error")
        finally:
            self._stopping.set()
            self.health.ready = False
            self._close()
            server.stop()
        return code

    def _loop(self) -> None:
        log, handler = self._event_log, self._handler
        log.subscribe(handler.topics, handler.group, _Listener(self))
        next_lag = started = 0.0
        untold, told_s = True, float("-inf")
        poll_timeout_s = self._settings.poll_timeout_ms / 1_000
        while not self._stopping.is_set():
            batch = log.poll(self._settings.max_batch, poll_timeout_s)
            self._beat = time.monotonic()
            if batch:
                started = self._beat
                self._hints.update(handler.handle(batch))
                untold = True
                telemetry.BATCHES.inc()
                telemetry.RECORDS.labels(batch[0].topic).inc(len(batch))
            handler.idle()
            self._beat = time.monotonic()
            if batch and (rest_s := rest_after(len(batch), self._beat - started, self._settings)) > 0:
                time.sleep(rest_s)  # some milliseconds; an event would cost a lock and two wake-ups
            # nothing to read: told at once, else a log of a record a second would show a lag of one for ever
            silent_s = self._beat - told_s
            due = (not batch or silent_s >= _COMMIT_EVERY_S) if untold else silent_s >= _TELL_AGAIN_S
            if self._hints and due:
                untold, told_s = False, self._beat
                self._commit()
            if self._beat >= next_lag:
                next_lag = self._beat + _LAG_EVERY_S
                self._lags = log.lag()
                for source, lag in self._lags.items():
                    telemetry.LAG.labels(source.topic, str(source.partition)).set(lag)

    def assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self._beat = float("inf")  # recovery takes as long as the log is long
        try:
            starts = self._handler.on_assigned(partitions)
        finally:
            self._beat = time.monotonic()
        self._hints.update(starts)
        self.health.ready = True
        return starts

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._commit()
        self._hints = {s: offset for s, offset in self._hints.items() if s not in partitions}
        self._handler.on_revoked(partitions)

    def _commit(self) -> None:
        if self._hints:
            reach(Failpoint.SERVICE_BEFORE_OFFSET_COMMIT)
            self._event_log.commit(self._hints)
            reach(Failpoint.SERVICE_AFTER_OFFSET_COMMIT)

    def _watch(self) -> None:
        """Count looks, not the clock: a process that was frozen has not stalled when it wakes up."""
        seen, silent_s = self._beat, 0.0
        while not self._stopping.wait(_LOOK_EVERY_S):
            if self._beat != seen or seen == float("inf"):
                seen, silent_s = self._beat, 0.0
                continue
            silent_s += _LOOK_EVERY_S
            if silent_s > self._settings.stall_timeout_s:
                print(f'{{"event": "service stalled, process ends", "silent_s": {silent_s:.1f}}}', flush=True)  # noqa: T201
                os._exit(EXIT_STALLED)

    def _details(self) -> dict[str, Any]:
        lag = {f"{s.topic}[{s.partition}]": n for s, n in sorted(self._lags.items())}
        return {"service": self._name, "lag": sum(lag.values()), "lags": lag, **self._handler.details()}

    def _close(self) -> None:
        for closing in (self._commit, self._handler.close, self._event_log.close):
            try:
                closing()
            except Exception as error:
                _log.warning("not closed cleanly", error=str(error))


class _Listener:
    def __init__(self, service: Service) -> None:
        self._service = service

    def on_assigned(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._service.assigned(partitions)

    def on_revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._service.revoked(partitions)
