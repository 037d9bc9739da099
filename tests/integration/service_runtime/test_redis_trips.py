"""Commands and answers on a real server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
import redis

from service_runtime.redis_trips import RedisTrips


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def trips(client: redis.Redis) -> Iterator[RedisTrips]:
    trips = RedisTrips(client)
    yield trips
    trips.close()


def test_each_trip_has_its_own_answers_whoever_takes_them_first(trips: RedisTrips) -> None:
    first, second, third = (trips.send([("ECHO", f"{n}"), ("ECHO", b"x" * n)]) for n in (1, 20_000, 3))
    assert trips.take(third) == [b"3", b"xxx"]
    assert trips.take(first) == [b"1", b"x"]
    assert trips.take(second) == [b"20000", b"x" * 20_000]
    assert trips.take(second) == [b"20000", b"x" * 20_000]
    assert trips.run([]) == []


def test_an_error_is_raised_where_its_trip_is_taken(trips: RedisTrips) -> None:
    name = secrets.token_hex(8)
    wrong = trips.send([("SET", name, "text"), ("HGET", name, "field"), ("GET", name)])
    assert trips.run([("GET", name), ("DEL", name)]) == [b"text", 1]
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        trips.take(wrong)
    assert trips.run([("PING",)]) in ([b"PONG"], [True])


def test_with_the_connection_all_that_is_under_way_is_lost(trips: RedisTrips, client: redis.Redis) -> None:
    [number] = trips.run([("CLIENT", "ID")])
    client.client_kill_filter(_id=str(number))
    under_way = trips.send([("ECHO", "a")])
    with pytest.raises(redis.ConnectionError):
        trips.run([("ECHO", "b")])
    with pytest.raises(redis.ConnectionError):
        trips.take(under_way)
    assert trips.run([("ECHO", "c")]) == [b"c"], "the next one connects anew"


def test_an_answer_that_will_not_come_is_said(trips: RedisTrips) -> None:
    under_way = trips.send([("ECHO", "a")])
    trips.close()
    with pytest.raises(redis.ConnectionError, match="lost before"):
        trips.take(under_way)
