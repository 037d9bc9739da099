from __future__ import annotations

from pydantic import Field

from service_runtime.settings import ServiceSettings


class MatcherSettings(ServiceSettings):
    snapshot_every_records: int = Field(20_000, ge=1)
    """A partition's books are written to `book-snapshots` and Redis after the records whose offset + 1 is a
    multiple of this (every owner after the same ones; left out while one is being written),"""
    snapshot_every_s: float = Field(60.0, gt=0)
    """or after so many seconds with any."""
    snapshot_fork_above: int = Field(5_000, ge=0)
    """With more open orders than this, a child process encodes the snapshot while matching goes on."""
    max_batch: int = Field(4_000, ge=1, le=20_000)
    batch_interval_ms: float = Field(0.0, ge=0, le=1_000)
    """The last on an order's way, and quick: a rest of a share of each batch is enough."""
    stall_timeout_s: float = Field(5.0, gt=0)
    """Ends also who waits so long for the broker to store a batch (RELIABILITY R3)."""
    resent_replies: int = Field(1_000, ge=0)
    """So many of the last replies are sent again on recovery: nobody knows which got out."""


class StandbySettings(MatcherSettings):
    """Of a process that follows a matcher and stands in for it."""

    poll_timeout_ms: float = Field(10.0, gt=0, le=1_000)
    """A silence is looked for so often."""
    suspicion_ms_min: float = Field(60.0, gt=0, le=60_000)
    """An owner is taken for dead when for so long nothing came of what the standby has computed, and"""
    suspicion_factor: float = Field(4.0, ge=1)
    """for so many times as long as it was silent at most in the last seconds, but no longer than"""
    suspicion_ms_max: float = Field(400.0, gt=0, le=60_000)
    """this."""
