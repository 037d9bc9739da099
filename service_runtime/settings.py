"""Settings every service has. The environment is read here and in the services' subclasses, nowhere else.

`TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS`, `TAPEHOUSE_POSTGRES__DSN`, ...: `__` stands between levels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas import instruments, topics


class KafkaSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = "127.0.0.1:19092"
    session_timeout_ms: int = Field(6_000, ge=1_000, le=60_000)
    """How long a silent member keeps its partitions. Ownership saves work, not correctness."""
    extra: dict[str, str] = {}
    """More librdkafka properties, for security above all (`security.protocol`, `sasl.*`)."""


class PostgresSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    dsn: str = "postgresql://tapehouse@127.0.0.1:15432/tapehouse"
    connect_timeout_s: int = Field(5, ge=1)
    transaction_timeout_s: float = Field(10.0, ge=0)
    """The server ends a session whose transaction is open for longer, 0: never. It is what frees the wallets
    that a frozen process locked, so it must be shorter than `stall_timeout_s` of those that wait for them."""


class RedisSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = "redis://127.0.0.1:16379/0"
    timeout_ms: int = Field(500, ge=1)
    retry_after_ms: int = Field(1_000, ge=1)
    """After a failure Redis is left alone for this long: it is never truth."""


class ServiceSettings(BaseSettings):
    """Frozen and validated at start; units are in the names."""

    model_config = SettingsConfigDict(
        env_prefix="TAPEHOUSE_", env_nested_delimiter="__", frozen=True, extra="ignore"
    )

    kafka: KafkaSettings = KafkaSettings()
    postgres: PostgresSettings = PostgresSettings()
    redis: RedisSettings = RedisSettings()
    instance: int = Field(0, ge=0)
    """Number of this process among those of its service, from 0."""
    health_host: str = "127.0.0.1"
    health_port: int = Field(0, ge=0, le=65535)
    """Port of /health/live, /health/ready and /metrics; 0 takes a free one."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    topics_file: Path = topics.DEFAULT_PATH
    instruments_file: Path = instruments.DEFAULT_PATH
    max_batch: int = Field(500, ge=1, le=20_000)
    """Most records handled at once."""
    batch_interval_ms: float = Field(8.0, ge=0, le=1_000)
    """Least time from the start of one batch to the next. A lone record is handled at once; under load
    few larger batches cost much less than many small ones, each with its wake-ups and round trips."""
    rest_share: float = Field(0.5, ge=0, le=10)
    """After a small batch rest for this share of the time that it took: the fuller the machine, the larger
    the batches. 0 rests for `batch_interval_ms` alone."""
    poll_timeout_ms: float = Field(200.0, gt=0, le=1_000)
    """So long a look for records may take while there are none."""
    failpoint: str = ""
    """`name:n` ends the process at the n-th reach of that place: for tests of crashes."""
    failpoint_folder: Path | None = None
    """Where a file named SERVICE-INSTANCE may arm a failpoint of the process that starts next."""
    stall_timeout_s: float = Field(30.0, gt=0)
    """A handler that takes longer than this ends the process (watchdog)."""
