"""What a person does before and around trading: register, sign in, stay signed in, sign out.

An unknown login, a wrong password and a wrong code are one answer, after the same work.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol
from uuid import UUID, uuid4

from msgspec import Struct

from ingest.accounts import one_time_codes
from ingest.accounts.attempts import Attempts
from ingest.accounts.passwords import Passwords, normal
from ingest.accounts.sessions import SessionInfo, Sessions
from ingest.accounts.tokens import Access, Tokens, invalid_token
from ingest.accounts.users import User, Users, login_taken
from ingest.management_refusal import ManagementRefusal
from ingest.settings import AccountOptions

_NS: Final = 1_000_000_000


class Opened(Protocol):
    """A new account."""

    @property
    def account_id(self) -> int: ...


class SignedIn(Struct, frozen=True):
    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "Bearer"


class SignInDesk:
    def __init__(
        self,
        *,
        options: AccountOptions,
        users: Users,
        sessions: Sessions,
        tokens: Tokens,
        passwords: Passwords,
        attempts: Attempts,
        open_account: Callable[[str], Awaitable[Opened]],
        now_ns: Callable[[], int],
    ) -> None:
        self._options = options
        self._users = users
        self._sessions = sessions
        self._tokens = tokens
        self._passwords = passwords
        self._attempts = attempts
        self._open_account = open_account
        self._now_ns = now_ns

    # -- in and out -----------------------------------------------------------------------------

    async def register(self, login: str, password: str, address: str) -> User:
        """Open an account with nothing in it, and a sign-in for it."""
        if not self._options.registration_open:
            raise ManagementRefusal(403, "registration_closed", "new accounts are opened by the operator")
        normal(password)
        await self._attempts.register(address)
        if await self._users.by_login(login) is not None:
            raise login_taken()
        password_hash = await self._passwords.hash(password)
        account = await self._open_account(login)
        await self._users.add(login, account.account_id, password_hash, self._now_ns())
        return await self.user(account.account_id)

    async def sign_in(self, login: str, password: str, code: str | None, address: str) -> SignedIn:
        await self._attempts.sign_in(login, address)
        user = await self._users.by_login(login)
        right = await self._passwords.verify(None if user is None else user.password_hash, password)
        if user is None or not right:
            raise _wrong()
        await self._check_code(user, code)
        await self._attempts.signed_in(login, address)
        if self._passwords.outdated(user.password_hash):
            await self._users.set_password(login, await self._passwords.hash(password), user.password_hash)
        session_id, now_ns = uuid4(), self._now_ns()
        await self._sessions.begin(session_id, user.account_id, now_ns, self._options.session_s * _NS)
        return self._signed_in(user.account_id, session_id, 1)

    async def renew(self, refresh_token: str) -> SignedIn:
        """Give new tokens for a refresh token, which is used up by it."""
        token = self._tokens.read_refresh(refresh_token)
        account_id = await self._sessions.renew(token, self._now_ns())
        return self._signed_in(account_id, token.session_id, token.generation + 1)

    async def access(self, token: str) -> Access:
        """Return whom an access token speaks for, if its session is live. Raises 401."""
        found = self._tokens.read_access(token)
        if not await self._sessions.is_live(found.session_id, self._now_ns()):
            raise invalid_token()
        return found

    async def sessions(self, account_id: int) -> list[SessionInfo]:
        return await self._sessions.live(account_id, self._now_ns())

    async def sign_out(self, account_id: int, only: UUID | None = None) -> int:
        return await self._sessions.end(account_id, self._now_ns(), only=only)

    # -- one's own password and codes -----------------------------------------------------------

    async def user(self, account_id: int) -> User:
        found = await self._users.by_account(account_id)
        if found is None:
            raise invalid_token()
        return found

    async def change_password(
        self, access: Access, password: str, new_password: str, code: str | None, address: str
    ) -> int:
        """Change it and end every other session; return how many those were."""
        user = await self._proved(access.account_id, password, code, address)
        password_hash = await self._passwords.hash(new_password)
        if not await self._users.set_password(user.login, password_hash, user.password_hash):
            raise _wrong()
        return await self._sessions.end(
            access.account_id, self._now_ns(), "password_changed", but=access.session_id
        )

    async def propose_totp(self, account_id: int, password: str, address: str) -> tuple[str, str]:
        """Return a new secret and its URI; nothing is asked for until a code confirms it."""
        user = await self._proved(account_id, password, None, address, needs_code=False)
        secret = one_time_codes.new_secret()
        if not await self._users.propose_totp(user.login, secret):
            raise ManagementRefusal(409, "totp_active", "codes are asked for already: remove them first")
        return secret, one_time_codes.provisioning_uri(secret, user.login, self._options.issuer)

    async def confirm_totp(self, account_id: int, code: str, address: str) -> None:
        user = await self.user(account_id)
        if user.totp_active or user.totp_secret is None:
            raise ManagementRefusal(409, "no_totp_proposed", "there is nothing to confirm")
        await self._attempts.sign_in(user.login, address)
        await self._use_code(user, code)
        await self._attempts.signed_in(user.login, address)

    async def remove_totp(self, account_id: int, password: str, code: str, address: str) -> None:
        user = await self._proved(account_id, password, code, address)
        await self._users.remove_totp(user.login)

    async def _proved(
        self, account_id: int, password: str, code: str | None, address: str, needs_code: bool = True
    ) -> User:
        """Return the user, whose password (and code) this is. Counts as an attempt to sign in."""
        user = await self.user(account_id)
        await self._attempts.sign_in(user.login, address)
        if not await self._passwords.verify(user.password_hash, password):
            raise _wrong()
        if needs_code:
            await self._check_code(user, code)
        await self._attempts.signed_in(user.login, address)
        return user

    async def _check_code(self, user: User, code: str | None) -> None:
        if user.totp_active:
            await self._use_code(user, code or "")

    async def _use_code(self, user: User, code: str) -> None:
        assert user.totp_secret is not None
        now_s = self._now_ns() // _NS
        step = one_time_codes.matching_step(user.totp_secret, code, now_s, user.totp_last_step)
        if step is None or not await self._users.use_totp_step(user.login, step):
            raise _wrong()

    def _signed_in(self, account_id: int, session_id: UUID, generation: int) -> SignedIn:
        return SignedIn(
            self._tokens.access(account_id, session_id, self._now_ns() // _NS),
            self._tokens.refresh(session_id, generation),
            self._tokens.lifetime_s,
        )


def _wrong() -> ManagementRefusal:
    return ManagementRefusal(
        401, "sign_in_refused", "login, password or code is wrong", {"WWW-Authenticate": "Bearer"}
    )
