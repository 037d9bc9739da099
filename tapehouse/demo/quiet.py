"""How a tape asks the fleet to leave a symbol's book alone: a lock that ends with its holder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tapehouse.errors import OperatorError


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep the fleet away until the block ends, or the process does. Raises when another holds it."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperatorError("another tape is being sent on this symbol") from None
        yield


def asked_for(path: Path) -> bool:
    """True while somebody holds the lock."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
