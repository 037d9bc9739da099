"""The parts of `/account/v1`, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ingest.accounts.account_api import account_app
from ingest.accounts.attempts import Attempts
from ingest.accounts.guard import AsgiApp, Guard
from ingest.accounts.passwords import Passwords
from ingest.accounts.sessions import Sessions
from ingest.accounts.sign_in_desk import Opened, SignInDesk
from ingest.accounts.tokens import Tokens
from ingest.accounts.users import Users
from ingest.database import Database
from ingest.key_desk import KeyDesk
from ingest.rate_limits import RateLimits
from ingest.sealed_secrets import SecretBox, token_secrets
from ingest.settings import IngestSettings
from ingest.shared_limits import SharedLimits


class AccountService:
    """`app` is the ASGI application for every path under `/account/v1`."""

    def __init__(
        self,
        *,
        settings: IngestSettings,
        database: Database,
        box: SecretBox,
        keys: KeyDesk,
        open_account: Callable[[str], Awaitable[Opened]],
        limits: RateLimits,
        shared: SharedLimits,
        now_ns: Callable[[], int],
        document: bool,
    ) -> None:
        options = settings.accounts
        self._passwords = Passwords(options)
        self._sessions = Sessions(database, settings.redis, ended_s=options.access_token_s + 60)
        self._attempts = Attempts(settings.redis, options)
        desk = SignInDesk(
            options=options,
            users=Users(database, box),
            sessions=self._sessions,
            tokens=Tokens(token_secrets(settings.secrets), options),
            passwords=self._passwords,
            attempts=self._attempts,
            open_account=open_account,
            now_ns=now_ns,
        )
        self.app: AsgiApp = Guard(account_app(desk, keys, document), limits, shared, now_ns)

    async def close(self) -> None:
        self._passwords.close()
        await self._sessions.close()
        await self._attempts.close()
