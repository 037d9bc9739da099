"""Where requests wait for their replies.

A thread reads this worker's partition of `order-replies` and hands what it got to the loop, a batch at
a time; the loop finds the waiting request by correlation id. A reply nobody waits for (late, or the
second of a take-over) is dropped.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

import structlog

from schemas.codec import InvalidMessage, decoder_for_union
from schemas.events import ORDER_REPLIES, CommandMatched, RequestRejected
from schemas.topics import ORDER_REPLIES as ORDER_REPLIES_TOPIC
from service_runtime.errors import Fault
from service_runtime.event_log import EventLog, TopicPartition

_log = structlog.get_logger("reply_desk")
_BATCH = 2_000
_POLL_S = 0.2
_PAUSE_S = 0.002
"""Between batches: waking the loop once for several replies costs less than once for each."""
_REMEMBERED_ACCOUNTS = 100_000
_OVERDUE_S = 60.0
"""After its time-out a request is still somebody's work, until its reply comes or for so long."""
Reply = CommandMatched | RequestRejected
Seen = dict[str, tuple[int, int]]
"""symbol -> (sequence, trade id)"""


class ReplyDesk:
    """Futures by correlation id. Every method is called on the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeout_s: float,
        matched: Callable[[CommandMatched], None] | None = None,
    ) -> None:
        """`matched` is told of every record of the matcher that comes."""
        self._loop = loop
        self._matched = matched
        self._timeout_s = timeout_s
        self._waiting: dict[str, asyncio.Future[Reply | None]] = {}
        self._deadlines: deque[tuple[float, str]] = deque()
        self._decode: Callable[[bytes], Reply] = decoder_for_union(ORDER_REPLIES)
        self._seen: OrderedDict[int, Seen] = OrderedDict()
        self._overdue: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def unanswered(self) -> int:
        """Return how many requests are in the log without a reply, those that were given up included."""
        return len(self._waiting) + len(self._overdue)

    def expect(self, correlation_id: str) -> asyncio.Future[Reply | None]:
        """Return what will be the reply, or None after the time-out."""
        future: asyncio.Future[Reply | None] = self._loop.create_future()
        self._waiting[correlation_id] = future
        self._deadlines.append((self._loop.time() + self._timeout_s, correlation_id))
        return future

    def deliver(self, values: Sequence[bytes]) -> None:
        for value in values:
            try:
                reply = self._decode(value)
            except InvalidMessage as error:
                _log.warning("reply not readable", error=str(error))
                continue
            if isinstance(reply, CommandMatched):
                self._remember(reply)
                if self._matched is not None and reply.events:
                    self._matched(reply)
            future = self._waiting.pop(reply.correlation_id, None)
            if future is None:
                self._overdue.pop(reply.correlation_id, None)
            elif not future.done():
                future.set_result(reply)

    def sweep(self) -> None:
        """Give up on requests that have waited their time."""
        now = self._loop.time()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, correlation_id = self._deadlines.popleft()
            future = self._waiting.pop(correlation_id, None)
            if future is None:
                continue
            self._overdue[correlation_id] = now + _OVERDUE_S
            if not future.done():
                _log.warning("no reply in time", correlation_id=correlation_id)
                future.set_result(None)
        while self._overdue and next(iter(self._overdue.values())) <= now:
            self._overdue.popitem(last=False)

    def seen(self, account_id: int) -> Seen:
        """Return how far this worker has told the account, by symbol."""
        return self._seen.get(account_id, {})

    def _remember(self, record: CommandMatched) -> None:
        seen = self._seen.get(record.account_id)
        if seen is None:
            seen = self._seen[record.account_id] = {}
            if len(self._seen) > _REMEMBERED_ACCOUNTS:
                self._seen.popitem(last=False)
        if record.sequence > seen.get(record.symbol, (0, 0))[0]:
            seen[record.symbol] = (record.sequence, record.last_trade_id)


class ReplyReader:
    """The thread. A fault is handed to `failed`, on the loop, and ends it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: EventLog,
        partition: int,
        desk: ReplyDesk,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._event_log = log
        self._source = TopicPartition(ORDER_REPLIES_TOPIC, partition)
        self._desk = desk
        self._failed = failed
        self._stopping = threading.Event()
        self.assigned = threading.Event()
        """Set when the end of the partition is known: replies from then on are seen."""
        self._thread = threading.Thread(target=self._run, name="order-replies", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; it does within a fifth of a second."""
        self._stopping.set()

    def join(self) -> None:
        self._thread.join(5.0)

    def _run(self) -> None:
        try:
            _, end = self._event_log.offsets(self._source)
            self._event_log.assign({self._source: end})
            self.assigned.set()
            while not self._stopping.is_set():
                records = self._event_log.poll(_BATCH, _POLL_S)
                if records:
                    values = [record.value for record in records]
                    self._loop.call_soon_threadsafe(self._desk.deliver, values)
                    self._stopping.wait(_PAUSE_S)
        except Fault as fault:
            self._loop.call_soon_threadsafe(self._failed, fault)
        except RuntimeError as error:  # the loop is closed
            if not self._stopping.is_set():
                _log.error("replies no longer read", error=str(error))
        finally:
            self._event_log.close()
