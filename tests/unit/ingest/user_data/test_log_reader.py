"""What the user data process reads: each record once, in order; a gap or a broken chain is a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ingest.user_data.account_feed import AccountFeed
from ingest.user_data.log_reader import LogReader
from schemas.codec import encode
from schemas.events import CommandMatched, FundsDeposited
from schemas.topics import ACCOUNT_EVENTS, MATCHED_EVENTS
from service_runtime.errors import ChainBroken, SequenceGap
from service_runtime.event_log import TopicPartition
from service_runtime.memory_log import MemoryBroker, MemoryEventLog
from service_runtime.sequence import MatchedSequence
from tests.builders import MatchedChain, account_opened, funds_deposited

DEADLINE_S = 10.0
SOURCES = {TopicPartition(MATCHED_EVENTS, 0): 0, TopicPartition(ACCOUNT_EVENTS, 1): 0}


class Seen(AccountFeed):
    """A feed that only notes what it is given."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.deposits: list[tuple[str, int, int]] = []

    def matched(self, record: CommandMatched) -> None:
        self.sequences.append(record.sequence)

    def deposited(self, deposit: FundsDeposited, partition: int, offset: int) -> None:
        self.deposits.append((deposit.deposit_id, partition, offset))


async def read(
    values: list[bytes], accounts: list[bytes], until: Callable[[Seen, list[BaseException]], object]
) -> tuple[Seen, list[BaseException]]:
    broker = MemoryBroker({MATCHED_EVENTS: 1, ACCOUNT_EVENTS: 2})
    for value in values:
        broker.write(MATCHED_EVENTS, 0, value)
    for value in accounts:
        broker.write(ACCOUNT_EVENTS, 1, value)
    seen, faults = Seen(), list[BaseException]()
    reader = LogReader(asyncio.get_running_loop(), MemoryEventLog(broker), seen, faults.append)
    reader.start(SOURCES, MatchedSequence())
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not until(seen, faults):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
    finally:
        await asyncio.to_thread(reader.stop)
    return seen, faults


async def test_records_come_once_and_in_order_and_poison_is_passed_over() -> None:
    chain = MatchedChain()
    one, two, three = (chain.next() for _ in range(3))
    deposits = [encode(account_opened()), b"poison", encode(funds_deposited(deposit_id="d-9"))]
    seen, faults = await read([one, two, one, b"{", two, three], deposits, lambda s, _: len(s.sequences) == 3)
    assert (seen.sequences, faults) == ([1, 2, 3], [])
    assert seen.deposits == [("d-9", 1, 2)]


async def test_a_gap_is_a_fault() -> None:
    chain = MatchedChain()
    one, _, three = (chain.next() for _ in range(3))
    seen, faults = await read([one, three], [], lambda _, f: f)
    assert [type(fault) for fault in faults] == [SequenceGap]
    assert 3 not in seen.sequences


async def test_a_broken_chain_is_a_fault() -> None:
    other = MatchedChain()
    other.next(last_update_id=7)
    _, faults = await read([MatchedChain().next(), other.next()], [], lambda _, f: f)
    assert [type(fault) for fault in faults] == [ChainBroken]
