"""A worker's subscriptions to user data, by account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from schemas.public_wire import NS_PER_MS

_log = structlog.get_logger("user_data")
TERMINATED = b'{"e":"eventStreamTerminated","E":%d}'


class Subscription:
    """One account's events on one connection. Events are held back until the subscription is answered."""

    def __init__(
        self,
        number: int,
        account_id: int,
        api_key: str,
        by_session: bool,
        push: Callable[[bytes], None],
        lost: Callable[[], None],
    ) -> None:
        self.number = number
        self.account_id = account_id
        self.api_key = api_key
        self.by_session = by_session
        self._push = push
        self._lost = lost
        self._held: list[bytes] | None = []

    def deliver(self, event: bytes) -> None:
        message = self.wrapped(event)
        if self._held is None:
            self._push(message)
        else:
            self._held.append(message)

    def wrapped(self, event: bytes) -> bytes:
        return b'{"subscriptionId":%d,"event":%b}' % (self.number, event)

    def open(self) -> None:
        held, self._held = self._held, None
        for message in held or ():
            self._push(message)

    def terminate(self, now_ms: int) -> None:
        """Tell the client that nothing more comes."""
        self.deliver(TERMINATED % now_ms)

    def lose(self, now_ms: int) -> None:
        """The same, when it was not asked for: the connection ends, so that no client overlooks it."""
        self.open()
        self.terminate(now_ms)
        self._lost()


class BareSubscription(Subscription):
    """A subscription by listen key: the only one of its connection, so events are told as they are."""

    def wrapped(self, event: bytes) -> bytes:
        return event


class Follower(Protocol):
    """What is asked of `feed_link.FeedLink`."""

    def follow(self, account_id: int) -> Awaitable[None]:
        """Return when events of the account come. Raises -1008 (503)."""
        ...

    def forget(self, account_id: int) -> None: ...


class UserStreams:
    """Every method is called on the loop."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._by_account: dict[int, dict[Subscription, None]] = {}
        self.follower: Follower | None = None

    def __len__(self) -> int:
        return sum(map(len, self._by_account.values()))

    async def add(self, subscription: Subscription) -> None:
        """Return when the subscription gets its account's events. Raises -1008 (503) when none can come."""
        assert self.follower is not None
        self._by_account.setdefault(subscription.account_id, {})[subscription] = None
        try:
            await self.follower.follow(subscription.account_id)
        except BaseException:
            self.remove(subscription)
            raise

    def remove(self, subscription: Subscription) -> None:
        subscriptions = self._by_account.get(subscription.account_id)
        if subscriptions is None or subscription not in subscriptions:
            return
        del subscriptions[subscription]
        if not subscriptions:
            del self._by_account[subscription.account_id]
            if self.follower is not None:
                self.follower.forget(subscription.account_id)

    def deliver(self, account_id: int, event: bytes) -> None:
        for subscription in self._by_account.get(account_id, ()):
            subscription.deliver(event)

    def lose(self, account_id: int | None = None) -> None:
        """End an account's streams, or all of them, because events may have been missed."""
        accounts = list(self._by_account) if account_id is None else [account_id]
        now_ms = self._now_ns() // NS_PER_MS
        for account in accounts:
            subscriptions = list(self._by_account.get(account, ()))
            if subscriptions:
                _log.warning("user data streams ended", account_id=account, streams=len(subscriptions))
            for subscription in subscriptions:
                subscription.lose(now_ms)
