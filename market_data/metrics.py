"""What market data counts, beside what every service does (`service_runtime.telemetry`)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from service_runtime import telemetry


class MarketMetrics:
    """Metrics of one server; a registry of its own keeps tests apart."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.clients = Gauge("tapehouse_stream_clients", "Open WebSocket connections.", registry=registry)
        self.slow_clients_cut = Counter(
            "tapehouse_stream_clients_cut_total",
            "WebSocket clients cut because they read too slowly.",
            registry=registry,
        )
        self.bars = Counter("tapehouse_trade_bars_total", "Records written to trade-bars.", registry=registry)
        self.candle_rows = Counter(
            "tapehouse_candle_rows_total", "Candles written to Postgres.", registry=registry
        )
        self.view_waits = Counter(
            "tapehouse_view_waits_total",
            "Depth requests that waited for the view to reach the hot book, by outcome.",
            ("outcome",),
            registry=registry,
        )


_process_metrics: MarketMetrics | None = None


def process_metrics() -> MarketMetrics:
    """Return the metrics that /metrics of this process shows."""
    global _process_metrics
    if _process_metrics is None:
        _process_metrics = MarketMetrics(telemetry.REGISTRY)
    return _process_metrics
