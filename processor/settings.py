"""Settings of the processor: those of every service."""

from __future__ import annotations

from pydantic import Field

from service_runtime.settings import ServiceSettings


class ProcessorSettings(ServiceSettings):
    max_batch: int = Field(1_000, ge=1, le=20_000)
    """Most requests decided in one transaction."""
