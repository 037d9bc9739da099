"""A worker's subscriptions: who gets what, in which order, and how they end."""

from __future__ import annotations

import pytest

from ingest.user_data.streams import Subscription, UserStreams
from schemas import public_errors as errors
from schemas.public_errors import PublicError


class Follows:
    """Follows at once, or refuses."""

    def __init__(self, away: bool = False) -> None:
        self.away = away
        self.said: list[str] = []

    async def follow(self, account_id: int) -> None:
        if self.away:
            raise errors.OVERLOADED()
        self.said.append(f"+{account_id}")

    def forget(self, account_id: int) -> None:
        self.said.append(f"-{account_id}")


class Client:
    def __init__(self, account_id: int = 7, number: int = 0) -> None:
        self.messages: list[bytes] = []
        self.closed = 0
        self.subscription = Subscription(number, account_id, "k", False, self.messages.append, self._lost)

    def _lost(self) -> None:
        self.closed += 1


def streams(away: bool = False) -> tuple[UserStreams, Follows]:
    made, follower = UserStreams(lambda: 5_000_000), Follows(away)
    made.follower = follower
    return made, follower


async def test_events_wait_until_the_subscription_is_answered() -> None:
    made, _ = streams()
    client = Client(number=3)
    await made.add(client.subscription)
    made.deliver(7, b'{"e":1}')
    assert client.messages == []
    client.subscription.open()
    made.deliver(7, b'{"e":2}')
    assert client.messages == [
        b'{"subscriptionId":3,"event":{"e":1}}',
        b'{"subscriptionId":3,"event":{"e":2}}',
    ]


async def test_an_account_is_forgotten_with_its_last_subscription() -> None:
    made, follower = streams()
    one, two = Client(), Client()
    await made.add(one.subscription)
    await made.add(two.subscription)
    made.remove(one.subscription)
    made.remove(one.subscription)
    assert "-7" not in follower.said
    made.remove(two.subscription)
    assert follower.said[-1] == "-7"
    assert len(made) == 0


async def test_nothing_is_left_of_a_subscription_that_failed() -> None:
    made, follower = streams(away=True)
    client = Client()
    with pytest.raises(PublicError):
        await made.add(client.subscription)
    assert (len(made), follower.said) == (0, ["-7"])


async def test_lost_events_end_the_streams_of_the_account_or_all() -> None:
    made, _ = streams()
    clients = [Client(7), Client(7), Client(8)]
    for client in clients:
        await made.add(client.subscription)
        client.subscription.open()
    made.lose(7)
    told = b'{"subscriptionId":0,"event":{"e":"eventStreamTerminated","E":5}}'
    assert [client.messages for client in clients] == [[told], [told], []]
    assert [client.closed for client in clients] == [1, 1, 0]
    made.lose()
    assert clients[2].messages == [told]
