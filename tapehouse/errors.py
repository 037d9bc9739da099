"""What the operator's command says when something expected goes wrong: one message, no traceback.

OperatorError
  exit code 1   it failed: nothing runs there, a server did not start, no network, a taken port
  exit code 2   misused: an unknown service, a bad option, an amount that is no number
"""

from __future__ import annotations

from typing import Final

FAILED: Final = 1
USAGE: Final = 2


class OperatorError(Exception):
    """An expected failure; `message` is all the operator needs to act on."""

    def __init__(self, message: str, *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
