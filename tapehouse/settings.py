"""Settings of the operator's command: `TAPEHOUSE_DATA`, `TAPEHOUSE_PORTS__KAFKA`, ..."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from service_runtime.settings import ServiceSettings


class Ports(BaseModel):
    """All on 127.0.0.1, but for the public API, which listens on `host`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    api: int = Field(8080, ge=1, le=65535)
    admin: int = Field(8081, ge=1, le=65535)
    market_data: int = Field(8090, ge=1, le=65535)
    """Of the first market_data process; the next ones take the next ports."""
    user_data: int = Field(8095, ge=1, le=65535)
    """Where ingest workers hear of their clients' accounts; several processes share it."""
    kafka: int = Field(19092, ge=1, le=65535)
    kafka_controller: int = Field(19093, ge=1, le=65535)
    postgres: int = Field(15432, ge=1, le=65535)
    valkey: int = Field(16379, ge=1, le=65535)
    health: int = Field(9101, ge=1, le=65535)
    """Of the first process; each has one, for /health and /metrics."""


def _default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tapehouse"


class OperatorSettings(ServiceSettings):
    ports: Ports = Ports()
    data: Path | None = None
    """The data folder; `.tapehouse` in the working directory without it."""
    cache_dir: Path = Field(default_factory=_default_cache)
    """Where Kafka's jars are kept, for every data folder of this user."""
    maven_repository: HttpUrl | None = None
    """A mirror of Maven's repository, for the jars."""

    min_free_mb: int = Field(256, ge=0)
    """What must be free on the data folder's disk for an exchange to start; 0: whatever is."""

    broker_aot_cache: bool = True
    """Make, while the exchange is idle, what lets the broker start faster the next time."""

    @property
    def embeds_kafka(self) -> bool:
        """No address was given, so a broker of our own runs. The same below."""
        return "bootstrap_servers" not in self.kafka.model_fields_set

    @property
    def embeds_postgres(self) -> bool:
        return "dsn" not in self.postgres.model_fields_set

    @property
    def embeds_valkey(self) -> bool:
        return "url" not in self.redis.model_fields_set
