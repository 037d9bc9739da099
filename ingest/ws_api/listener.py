"""What a connection to `/ws/<listenKey>` hears: the events of one account, bare, until its key is no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from ingest.user_data.listen_keys import ListenKeys
from ingest.user_data.streams import BareSubscription, UserStreams
from schemas import public_errors as errors
from schemas.public_errors import PublicError
from schemas.public_wire import NS_PER_MS

LOOK_EVERY_S: Final = 2.0
_EXPIRED: Final = b'{"e":"listenKeyExpired","E":%d,"listenKey":"%b"}'


class Listener:
    """One listening connection. Every method is called on the loop."""

    def __init__(
        self,
        listen_key: str,
        listen_keys: ListenKeys,
        streams: UserStreams,
        now_ns: Callable[[], int],
    ) -> None:
        self._listen_key = listen_key
        self._listen_keys = listen_keys
        self._streams = streams
        self._now_ns = now_ns
        self._subscription: BareSubscription | None = None
        self.api_key = ""

    async def begin(self, push: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        """Follow the account; events wait for `open`. Raises -1125 for an unknown key, -1008 (503)."""
        who = await self._listen_keys.who(self._listen_key)
        if who is None:
            raise errors.NO_LISTEN_KEY()
        self.api_key = who.api_key
        subscription = BareSubscription(0, who.account_id, who.api_key, False, push, lost)
        await self._streams.add(subscription)
        self._subscription = subscription

    def open(self) -> None:
        if self._subscription is not None:
            self._subscription.open()

    def close(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            self._streams.remove(subscription)

    async def until_expired(self) -> bytes:
        """Return what to say at the end, when the listen key is no more. While Redis is away it goes on."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if await self._listen_keys.who(self._listen_key) is None:
                    return self.expired()
            except PublicError:
                continue

    def expired(self) -> bytes:
        return _EXPIRED % (self._now_ns() // NS_PER_MS, self._listen_key.encode())
