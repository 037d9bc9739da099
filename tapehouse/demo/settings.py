"""Settings of the demo: where the exchange is, and how lively the fleet."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ingest.settings import IngestSettings


class DemoOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 20210108
    actions_per_s: float = Field(12.0, gt=0, le=100)
    """Orders and cancels of the whole fleet in a second: gentle, so that a laptop stays quiet."""


class DemoSettings(IngestSettings):
    demo: DemoOptions = DemoOptions()

    @property
    def api_host(self) -> str:
        """Where this machine reaches the public port."""
        return "127.0.0.1" if self.ports.host in ("0.0.0.0", "::", "") else self.ports.host

    @property
    def api_url(self) -> str:
        return f"http://{self.api_host}:{self.ports.api}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.admin}"

    @property
    def accounts_file(self) -> Path:
        """Keys of the demo's accounts, beside the operator's token and as private."""
        return self.secrets.operator_token_file.parent / "demo-accounts.json"

    def quiet_file(self, symbol: str) -> Path:
        """Locked by a tape that needs the symbol's book to itself; the fleet keeps away meanwhile."""
        return self.secrets.operator_token_file.parent / f"demo-quiet-{symbol}"
