"""Settings of the recorder: those of every service."""

from __future__ import annotations

from pydantic import Field

from service_runtime.settings import ServiceSettings


class RecorderSettings(ServiceSettings):
    max_batch: int = Field(2_000, ge=1, le=20_000)
    """Most records settled in one transaction."""
    gather_ms: int = Field(20, ge=0, le=1_000)
    """How long the broker may hold records back for a larger batch; the recorder follows, nobody waits."""
