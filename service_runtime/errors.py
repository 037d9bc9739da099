"""Three kinds of "no".

business refusal            an event with a RejectReason; never an exception
schemas.codec.InvalidMessage  bad record: to dead-letters, the stream goes on
Fault                       the process ends with a clear line; restart is recovery
  |- LogFault               the log did not do what was asked
  |    |- DeliveryFailed    a record was given up, or the producer is fatally broken
  |    |- PositionLost      the log no longer holds, or does not yet hold, the position needed
  |- InvariantBroken        what must never be
  |    |- SequenceGap       a reader missed a record
  |    |- ChainBroken       a record does not follow the one before it, or differs from its twin
  |- Fenced                 another instance has moved on with our partition
  |- DependencyLost         Postgres (or what else must be there) went away in the middle of work
"""

from __future__ import annotations


class Fault(Exception):
    """Ends the process. The message is one line for an operator."""


class LogFault(Fault):
    pass


class DeliveryFailed(LogFault):
    pass


class PositionLost(LogFault):
    def __init__(self, topic: str, partition: int, expected: int, found: str) -> None:
        super().__init__(f"{topic}[{partition}]: expected offset {expected}, found {found}")


class InvariantBroken(Fault):
    pass


class SequenceGap(InvariantBroken):
    pass


class ChainBroken(InvariantBroken):
    pass


class Fenced(Fault):
    pass


class DependencyLost(Fault):
    pass
