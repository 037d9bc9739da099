"""Settings of the trading API: `TAPEHOUSE_PORTS__API`, `TAPEHOUSE_LIMITS__REQUEST_WEIGHT_1M`, ..."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from service_runtime.settings import ServiceSettings


class PortSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    """Address of the public port; the admin port is always on 127.0.0.1."""
    api: int = Field(8080, ge=0, le=65535)
    admin: int = Field(8081, ge=0, le=65535)
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) of the proxies whose X-Forwarded-For is believed; of nobody else it is."""


class SecretSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    master_key_file: Path = Path(".tapehouse/secrets/master-key")
    """Seals the secrets of API keys in the database; made when missing, readable by its owner only."""
    master_key: SecretStr | None = Field(None, min_length=32)
    """Instead of the file."""
    token_key_file: Path | None = None
    """Signs the tokens of signed-in users; made when missing. Not said: `token-key` beside the master key.
    A line each: the first signs, the others still verify (so a key is rotated without signing anyone out)."""
    token_key: SecretStr | None = Field(None, min_length=32)
    """Instead of that file."""
    operator_token_file: Path = Path(".tapehouse/secrets/operator-token")
    """What the admin API asks for; made when missing."""


class LimitSettings(BaseModel):
    """Binance's figures, over all workers, in windows aligned to the clock (UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_weight_1m: int = Field(6_000, ge=1)
    key_weight_1m: int | None = Field(None, ge=1)
    """Weight that one API key may use, from whatever addresses; not said: no limit of its own."""
    orders_10s: int = Field(100, ge=1)
    orders_1d: int = Field(200_000, ge=1)
    raw_requests_5m: int = Field(61_000, ge=1)
    connections_5m: int = Field(300, ge=1)
    """Attempts of an address to open a WebSocket."""
    cancels_1m: int = Field(1_000, ge=1)
    """Weight of cancels that each worker still takes from an address that has used up its weight."""
    ban_after_refusals: int = Field(200, ge=1)
    """So many refusals of an address within a minute, and it is banned: 418."""
    ban_s: int = Field(120, ge=1)
    """The first ban; each further one is twice as long, up to three days."""


class IngestOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reply_timeout_s: float = Field(10.0, gt=0)
    """After it a request is answered -1007: outcome unknown."""
    unanswered_orders: int = Field(5_000, ge=1)
    """With so many requests of this worker in the log and not answered, orders are refused: 503."""
    unanswered_cancels: int = Field(10_000, ge=1)
    """The same for cancels, which are refused last."""
    gather_ms: float = Field(2.0, ge=0, le=100)
    """Commands within this time of each other go to the broker together; a lone one goes at once."""
    settled_wait_s: float = Field(1.0, ge=0)
    """How long a read waits for the database to show what the account has seen."""
    kafka_silence_s: float = Field(2.0, gt=0)
    """A record that is not stored after this, or a broker silent for this long: orders are refused."""
    refresh_interval_s: float = Field(0.5, gt=0)
    """Pause between two looks for changed API keys; each is a sign of life of Postgres, too."""
    read_pool: int = Field(4, ge=1, le=64)
    """Most Postgres connections for queries of accounts."""
    management_pool: int = Field(4, ge=1, le=64)
    """Most Postgres connections for sign-in, keys and the operator."""
    public_docs: bool | None = None
    """Whether /docs and /openapi.json are on the public port. Not said: only while that is a loopback
    address, where nobody from outside gets to it. The admin port always has them, under /public."""
    keep_alive_s: int = Field(75, ge=1)


class AccountOptions(BaseModel):
    """Sign-in under `/account/v1`: `TAPEHOUSE_ACCOUNTS__REGISTRATION_OPEN`, ..."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    registration_open: bool = True
    """Whether anybody may open an account."""
    issuer: str = Field("tapehouse", min_length=1)
    access_token_s: int = Field(600, ge=60, le=900)
    session_s: int = Field(30 * 86_400, ge=900)
    """A session ends so long after its sign-in, however often its refresh token was used."""
    argon2_memory_kib: int = Field(19_456, ge=19_456)
    argon2_passes: int = Field(2, ge=2)
    password_threads: int = Field(2, ge=1, le=16)
    passwords_waiting: int = Field(32, ge=1)
    """More sign-ins at once are refused: 503."""
    attempts_of_login_15m: int = Field(10, ge=1)
    attempts_of_address_15m: int = Field(50, ge=1)
    registrations_1h: int = Field(20, ge=1)
    """New accounts from one address."""


class SocketSettings(BaseModel):
    """What one connection of the WebSocket API may do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message_bytes: int = Field(65_536, ge=1_024)
    fragments: int = Field(64, ge=1)
    requests_in_flight: int = Field(256, ge=1)
    """With so many unanswered, nothing more is read from the connection."""
    control_frames_per_s: int = Field(5, ge=1)
    buffer_bytes: int = Field(1_048_576, ge=4_096)
    """A client that leaves more than this unread is cut."""
    ping_interval_s: float = Field(20.0, gt=0)
    pong_timeout_s: float = Field(60.0, gt=0)
    life_s: float = Field(86_400.0, gt=0)


class UserDataOptions(BaseModel):
    """Where `python -m ingest.user_data` listens, for the workers alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(8095, ge=0, le=65535)
    buffer_bytes: int = Field(16_777_216, ge=65_536)
    """A worker that leaves more than this unread is cut; its clients' streams end."""
    read_pool: int = Field(2, ge=1, le=64)


class IngestSettings(ServiceSettings):
    ports: PortSettings = PortSettings()
    secrets: SecretSettings = SecretSettings()
    limits: LimitSettings = LimitSettings()
    ingest: IngestOptions = IngestOptions()
    accounts: AccountOptions = AccountOptions()
    sockets: SocketSettings = SocketSettings()
    user_data: UserDataOptions = UserDataOptions()


def docs_are_public(said: bool | None, host: str) -> bool:
    """Return whether documents are shown on the public port: as said, else on a loopback address alone."""
    if said is not None:
        return said
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
