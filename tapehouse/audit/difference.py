"""What an audit finds: a difference, and where."""

from __future__ import annotations

from typing import NoReturn


class Difference(Exception):
    """The first thing that is not as it must be; names a topic, partition and offset, or a table row."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(text)
        self.invariant = invariant


class NotSettled(Exception):
    """The exchange did not come to the state that an audit needs, in the time given."""


def differs(invariant: str, text: str) -> NoReturn:
    raise Difference(invariant, text)
