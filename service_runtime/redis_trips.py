"""Several commands to Redis in one write, whose answers may be read later.

A pipeline of redis-py costs its client more than it costs the server, and writes a batch of some size in
several pieces, each of which wakes the server. Connection, protocol and parser are redis-py's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import redis

Command = Sequence[str | bytes | int]


class Trip:
    """Answers on their way, or there."""

    __slots__ = ("answers", "count")

    def __init__(self, count: int) -> None:
        self.count = count
        self.answers: list[Any] | None = None


class RedisTrips:
    """One connection of a client's pool. Its answers come in the order of what was sent.

    Every method raises redis.RedisError when the connection is lost; then no answer under way will come,
    and the next `send` connects anew.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._connection: Any = client.connection_pool.make_connection()
        self._under_way: deque[Trip] = deque()

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send and wait; see `take`."""
        return self.take(self.send(commands))

    def send(self, commands: Sequence[Command]) -> Trip:
        trip = Trip(len(commands))
        if not commands:
            trip.answers = []
            return trip
        try:
            self._connection.send_packed_command([b"".join(self._connection.pack_commands(commands))])
        except BaseException:
            self._lost()
            raise
        self._under_way.append(trip)
        return trip

    def take(self, trip: Trip) -> list[Any]:
        """Return the answers, one for each command. Raises the first that is an error.

        What was sent before is read too, and waits for whoever takes it.
        """
        while trip.answers is None:
            if not self._under_way:
                raise redis.ConnectionError("the connection was lost before the answer came")
            first = self._under_way[0]
            try:
                answers = [self._read() for _ in range(first.count)]
            except BaseException:
                self._lost()
                raise
            first.answers = answers
            self._under_way.popleft()
        for answer in trip.answers:
            if isinstance(answer, redis.ResponseError):
                raise answer
        return trip.answers

    def close(self) -> None:
        self._lost()

    def _read(self) -> Any:
        try:
            return self._connection.read_response()
        except redis.ResponseError as error:
            return error

    def _lost(self) -> None:
        """What is half read or half written cannot be gone on with."""
        self._under_way.clear()
        self._connection.disconnect()
