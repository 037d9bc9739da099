"""The way into the log: hands commands to Kafka without waiting, and knows when Kafka does not take them.

A command that comes after a quiet moment goes at once. Those that follow within `gather_s` go together: a
request to the broker costs more than an order does, here, there and at every reader.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Protocol

from schemas.codec import encode
from schemas.commands import OrderRequest
from schemas.topics import ORDER_REQUESTS, TopicMap
from service_runtime.errors import DeliveryFailed
from service_runtime.failpoints import Failpoint, reach


class LogWriter(Protocol):
    """The writing half of `service_runtime.kafka_log.KafkaEventLog`."""

    def append(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None: ...

    def warm_up(self) -> None: ...

    def serve_delivery(self) -> None: ...

    @property
    def undelivered(self) -> int: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


CallLater = Callable[[float, Callable[[], None]], object]


class CommandLog:
    """One worker's commands. Every method is called on the loop, and none waits for the broker."""

    def __init__(
        self,
        writer: LogWriter,
        topics: TopicMap,
        monotonic_s: Callable[[], float],
        call_later: CallLater,
        gather_s: float,
    ) -> None:
        """`call_later` is the loop's."""
        self._writer = writer
        self._topics = topics
        self._monotonic_s = monotonic_s
        self._call_later = call_later
        self._gather_s = gather_s
        self._handed_over_s = -gather_s
        self._gathered: list[tuple[int, bytes, bytes]] = []
        """(partition, value, key) of what is to be handed over."""
        self._fault: DeliveryFailed | None = None
        self._prefix = secrets.token_hex(6)
        self._numbers = count(1)
        self._appended = self._delivered = 0
        self._marks: deque[tuple[int, float]] = deque()
        """(records appended by then, when), oldest first, for what is not stored yet."""

    def new_id(self) -> str:
        """Return an id that no other request of any process has."""
        return f"{self._prefix}-{next(self._numbers):x}"

    def new_client_id(self) -> str:
        """Return a client order id for an order or cancel that came without one: 22 characters."""
        return secrets.token_hex(11)

    def append(self, command: OrderRequest) -> None:
        account_id = command.account_id
        if not self._gathered:
            rest_s = self._handed_over_s + self._gather_s - self._monotonic_s()
            self._call_later(max(rest_s, 0.0), self._hand_over)
        partition = self._topics.partition_of_account(account_id)
        self._gathered.append((partition, encode(command), b"%d" % account_id))
        self._appended += 1

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        append = self._writer.append
        try:
            for partition, value, key in gathered:
                reach(Failpoint.INGEST_BEFORE_PRODUCE)
                append(ORDER_REQUESTS, partition, value, key)
                reach(Failpoint.INGEST_AFTER_PRODUCE)
        except Exception as error:  # nobody waits here: the next tick tells it
            self._fault = DeliveryFailed(f"a command was not taken: {error}")
            raise
        self._handed_over_s = self._monotonic_s()

    def tick(self) -> None:
        """Serve delivery reports. Raises DeliveryFailed: then the process must end."""
        if self._fault is not None:
            raise self._fault
        self._writer.serve_delivery()
        delivered = self._appended - len(self._gathered) - self._writer.undelivered
        if delivered > self._delivered:
            self._delivered = delivered
            reach(Failpoint.INGEST_AFTER_DELIVERY)
        while self._marks and self._marks[0][0] <= delivered:
            self._marks.popleft()
        if delivered < self._appended and (not self._marks or self._marks[-1][0] < self._appended):
            self._marks.append((self._appended, self._monotonic_s()))

    def oldest_s(self) -> float:
        """Return for how long, as far as ticks tell, the oldest record has waited to be stored."""
        return self._monotonic_s() - self._marks[0][1] if self._marks else 0.0

    def hand_over(self) -> None:
        """Gather no longer: for the end, when the loop's calls may not come."""
        if self._gathered:
            self._hand_over()

    def flush(self) -> None:
        self.hand_over()
        self._writer.flush()
        self.tick()
