"""A thread reads `matched-events` and `account-events` and hands what it read to the loop, in order.

Every record is checked: repeats are dropped, a gap or a broken chain ends the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping

import structlog

from ingest.user_data.account_feed import AccountFeed
from schemas.codec import InvalidMessage, decoder_for, decoder_for_union
from schemas.events import ACCOUNT_EVENTS as ACCOUNT_MESSAGES
from schemas.events import CommandMatched, FundsDeposited
from schemas.topics import MATCHED_EVENTS
from service_runtime.errors import Fault
from service_runtime.event_log import EventLog, Record, TopicPartition
from service_runtime.sequence import MatchedSequence

_log = structlog.get_logger("user_data")
_BATCH = 2_000
_POLL_S = 0.2
_PAUSE_S = 0.002
"""Between batches: waking the loop once for several records costs less than once for each."""
_BATCHES_AHEAD = 4
Deposit = tuple[FundsDeposited, int, int]


class LogReader:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: EventLog,
        feed: AccountFeed,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._event_log = log
        self._feed = feed
        self._failed = failed
        self._decode_matched = decoder_for(CommandMatched)
        self._decode_account = decoder_for_union(ACCOUNT_MESSAGES)
        self._room = threading.Semaphore(_BATCHES_AHEAD)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, positions: Mapping[TopicPartition, int], sequence: MatchedSequence) -> None:
        arguments = (dict(positions), sequence)
        self._thread = threading.Thread(target=self._run, args=arguments, name="user-data", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _run(self, positions: Mapping[TopicPartition, int], sequence: MatchedSequence) -> None:
        try:
            self._event_log.assign(positions)
            while not self._stopping.is_set():
                records = self._event_log.poll(_BATCH, _POLL_S)
                batch = [found for record in records if (found := self._read(record, sequence)) is not None]
                if batch:
                    while not self._room.acquire(timeout=_POLL_S):
                        if self._stopping.is_set():
                            return
                    self._loop.call_soon_threadsafe(self._hand_over, batch)
                    self._stopping.wait(_PAUSE_S)
        except Fault as fault:
            self._loop.call_soon_threadsafe(self._failed, fault)
        except RuntimeError as error:  # the loop is closed
            if not self._stopping.is_set():
                _log.error("the log is no longer read", error=str(error))
        finally:
            self._event_log.close()

    def _read(self, record: Record, sequence: MatchedSequence) -> CommandMatched | Deposit | None:
        """Return what the record says, None for nothing. Raises SequenceGap or ChainBroken."""
        try:
            if record.topic == MATCHED_EVENTS:
                matched = self._decode_matched(record.value)
                return matched if sequence.accept(matched, record.value) else None
            message = self._decode_account(record.value)
        except InvalidMessage as error:
            _log.error("record not readable", topic=record.topic, offset=record.offset, error=str(error))
            return None
        return (message, record.partition, record.offset) if type(message) is FundsDeposited else None

    def _hand_over(self, batch: list[CommandMatched | Deposit]) -> None:
        self._room.release()
        feed = self._feed
        for found in batch:
            if isinstance(found, CommandMatched):
                feed.matched(found)
            else:
                feed.deposited(*found)
