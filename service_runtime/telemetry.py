"""Logs, metrics and health of a process. All metric names live here, with unit and meaning."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

REGISTRY = CollectorRegistry()
RECORDS = Counter("tapehouse_records_total", "Records handled, by topic.", ("topic",), registry=REGISTRY)
BATCHES = Counter("tapehouse_batches_total", "Batches handled.", registry=REGISTRY)
DEAD_LETTER_RECORDS = Counter(
    "tapehouse_dead_letters_total", "Records sent to dead-letters.", registry=REGISTRY
)
LAG = Gauge(
    "tapehouse_lag_records",
    "Records not yet handled, by topic and partition.",
    ("topic", "partition"),
    registry=REGISTRY,
)
SEQUENCE = Gauge(
    "tapehouse_sequence", "Last matched-events sequence applied, by symbol.", ("symbol",), registry=REGISTRY
)
SYMBOL_LAG = Gauge(
    "tapehouse_symbol_lag_records",
    "Commands the matcher has not handled, in the symbol's partition.",
    ("symbol",),
    registry=REGISTRY,
)
MARKET_STATE = Gauge(
    "tapehouse_market_state", "1 for the state that the symbol is in.", ("symbol", "state"), registry=REGISTRY
)
BOOK_HASH = Gauge(
    "tapehouse_book_hash",
    "First 48 bits of the last book hash: equal at equal sequence in every process.",
    ("symbol",),
    registry=REGISTRY,
)
BOOK_HASH_SEQUENCE = Gauge(
    "tapehouse_book_hash_sequence", "Sequence of the last book hash.", ("symbol",), registry=REGISTRY
)
DUPLICATES = Counter(
    "tapehouse_duplicates_total", "Records dropped because they were applied before.", registry=REGISTRY
)
TAKE_OVERS = Counter(
    "tapehouse_take_overs_total",
    "Partitions that a standby took over from a silent owner.",
    registry=REGISTRY,
)


def configure(service: str, level: str = "info") -> None:
    """Write logs as JSON lines to standard output: a constant sentence plus fields."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)


class Health:
    """What /health/live and /health/ready answer. Live from the start; ready when told so."""

    def __init__(self, details: Callable[[], dict[str, Any]] | None = None) -> None:
        self.ready = False
        self.live = True
        self.details = details or dict

    def body(self) -> dict[str, Any]:
        return {"live": self.live, "ready": self.ready, **self.details()}


class HealthServer:
    """/health/live, /health/ready (200 or 503, JSON) and /metrics on a thread of its own."""

    def __init__(self, host: str, port: int, health: Health) -> None:
        handler = type("Handler", (_Handler,), {"health": health})
        self._server = ThreadingHTTPServer((host, port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(2.0)


class _Handler(BaseHTTPRequestHandler):
    health: Health

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))
        elif self.path in ("/health/live", "/health/ready"):
            good = self.health.live if self.path.endswith("live") else self.health.ready
            self._answer(200 if good else 503, "application/json", json.dumps(self.health.body()).encode())
        else:
            self._answer(404, "application/json", b'{"error":"not found"}')

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Health checks are not logged."""
