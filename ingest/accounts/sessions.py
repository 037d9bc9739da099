"""Sessions: Postgres is the truth, Redis answers first. An ended session is known to all workers at once."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import redis.asyncio
import redis.exceptions
import structlog
from msgspec import Struct

from ingest.accounts.tokens import Refresh, invalid_token
from ingest.database import Database
from service_runtime.settings import RedisSettings

_log = structlog.get_logger("sessions")
_LIVE_S: Final = 30
"""How long a live session is believed without asking Postgres; an end is written over it at once."""
_LIVE, _ENDED = b"live", b"ended"


class SessionInfo(Struct, frozen=True):
    session_id: str
    created_at_ns: int
    used_at_ns: int
    expires_at_ns: int


class Sessions:
    def __init__(self, database: Database, settings: RedisSettings, ended_s: int) -> None:
        """`ended_s`: as long as the longest access token lives, an end is remembered."""
        timeout_s = settings.timeout_ms / 1000
        self._database = database
        self._redis = redis.asyncio.Redis.from_url(
            settings.url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
        )
        self._ended_s = ended_s

    async def begin(self, session_id: UUID, account_id: int, now_ns: int, lifetime_ns: int) -> None:
        await self._database.rows(
            "INSERT INTO sessions (session_id, account_id, created_at_ns, used_at_ns, expires_at_ns)"
            " VALUES (%(id)s, %(account)s, %(now)s, %(now)s, %(end)s)",
            {"id": session_id, "account": account_id, "now": now_ns, "end": now_ns + lifetime_ns},
        )

    async def is_live(self, session_id: UUID, now_ns: int) -> bool:
        try:
            known = await self._redis.get(_key(session_id))
        except (redis.exceptions.RedisError, OSError) as error:
            _log.warning("sessions are looked up in Postgres", error=str(error))
            known = None
        if known is not None:
            return bool(known == _LIVE)
        rows = await self._database.rows(
            "SELECT 1 FROM sessions WHERE session_id = %(id)s AND ended_at_ns IS NULL"
            " AND expires_at_ns > %(now)s",
            {"id": session_id, "now": now_ns},
        )
        if rows:
            await self._remember(session_id, _LIVE)
        return bool(rows)

    async def renew(self, token: Refresh, now_ns: int) -> int:
        """Move the family on and return its account. Raises 401; a token used before ends the family."""
        values = {"id": token.session_id, "generation": token.generation, "now": now_ns}
        rows = await self._database.rows(
            "UPDATE sessions SET generation = generation + 1, used_at_ns = %(now)s"
            " WHERE session_id = %(id)s AND generation = %(generation)s AND ended_at_ns IS NULL"
            " AND expires_at_ns > %(now)s RETURNING account_id",
            values,
        )
        if rows:
            return int(rows[0][0])
        reused = await self._database.rows(
            "UPDATE sessions SET ended_at_ns = %(now)s, end_reason = 'reused' WHERE session_id = %(id)s"
            " AND generation > %(generation)s AND ended_at_ns IS NULL RETURNING account_id",
            values,
        )
        if reused:
            _log.warning("a refresh token was used twice: its session is ended", account_id=reused[0][0])
            await self._remember(token.session_id, _ENDED)
        raise invalid_token()

    async def end(
        self,
        account_id: int,
        now_ns: int,
        reason: str = "signed_out",
        only: UUID | None = None,
        but: UUID | None = None,
    ) -> int:
        """End the account's sessions (`only` one, all `but` one); return how many there were."""
        rows = await self._database.rows(
            "UPDATE sessions SET ended_at_ns = %(now)s, end_reason = %(reason)s"
            " WHERE account_id = %(account)s AND ended_at_ns IS NULL"
            " AND (%(only)s::uuid IS NULL OR session_id = %(only)s)"
            " AND (%(but)s::uuid IS NULL OR session_id <> %(but)s) RETURNING session_id",
            {"now": now_ns, "reason": reason, "account": account_id, "only": only, "but": but},
        )
        for (session_id,) in rows:
            await self._remember(session_id, _ENDED)
        return len(rows)

    async def live(self, account_id: int, now_ns: int) -> list[SessionInfo]:
        rows = await self._database.rows(
            "SELECT session_id, created_at_ns, used_at_ns, expires_at_ns FROM sessions"
            " WHERE account_id = %(account)s AND ended_at_ns IS NULL AND expires_at_ns > %(now)s"
            " ORDER BY created_at_ns",
            {"account": account_id, "now": now_ns},
        )
        return [SessionInfo(session_id.hex, *times) for session_id, *times in rows]

    async def close(self) -> None:
        await self._redis.aclose()

    async def _remember(self, session_id: UUID, state: bytes) -> None:
        """An end wins over a live state that somebody read a moment before."""
        try:
            if state == _LIVE:
                await self._redis.set(_key(session_id), state, ex=_LIVE_S, nx=True)
            else:
                await self._redis.set(_key(session_id), state, ex=self._ended_s)
        except (redis.exceptions.RedisError, OSError) as error:
            _log.warning("a session's state is not in Redis", error=str(error))


def _key(session_id: UUID) -> str:
    return f"session:{session_id.hex}"
