"""What the operator's command says when something expected goes wrong: one message, no traceback.

OperatorError
  exit code 1   it failed: a server did not start, no network, a taken port
  exit code 2   asked for something that cannot be: an unknown service, a bad option
  exit code 3   nothing is running on this data folder, and the command needs it to
  exit code 4   the exchange already runs on this data folder
"""

from __future__ import annotations

from typing import Final

FAILED: Final = 1
USAGE: Final = 2
NOT_RUNNING: Final = 3
ALREADY_RUNNING: Final = 4


class OperatorError(Exception):
    """An expected failure; `message` is all the operator needs to act on."""

    def __init__(self, message: str, *, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
