"""Settings of the market data server: `TAPEHOUSE_MARKET_DATA__PORT`, ..."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from service_runtime.settings import ServiceSettings


class MarketDataOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(8090, ge=0, le=65535)
    """REST and WebSocket; 0 takes a free one."""
    view_wait_ms: int = Field(500, ge=0, le=5_000)
    """How long a depth request may wait for the view to reach the hot book."""
    bar_interval_ms: int = Field(250, ge=10, le=1_000)
    """Longest time a trade waits for its bar."""
    candle_write_interval_s: float = Field(2.0, gt=0)
    """Pause between two batches of candles to Postgres."""
    history_pool: int = Field(4, ge=1, le=64)
    """Most Postgres connections for old trades and candles."""
    max_streams: int = Field(1024, ge=1)
    """Streams one connection may ask for."""
    messages_per_s: int = Field(5, ge=1)
    """Requests one connection may send in a second."""
    client_buffer_bytes: int = Field(4_194_304, ge=65_536)
    """A client that leaves more than this unread is cut."""
    ping_interval_s: float = Field(20.0, gt=0)
    pong_timeout_s: float = Field(60.0, gt=0)


class CandleOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: str = ".tapehouse/candles"
    """Where Faust keeps its own files (no tables: those live in memory and in Kafka)."""
    publish_interval_ms: int = Field(500, ge=50, le=5_000)
    """Longest time a changed candle or ticker waits to be published."""
    close_grace_ms: int = Field(750, ge=0, le=60_000)
    """How long after its end a candle is still taken for open: bars arrive a little late."""
    session_timeout_s: float = Field(6.0, ge=1)
    """How long a silent worker keeps its partitions."""


class MarketDataSettings(ServiceSettings):
    market_data: MarketDataOptions = MarketDataOptions()
    candles: CandleOptions = CandleOptions()
