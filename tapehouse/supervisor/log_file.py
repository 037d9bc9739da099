"""Log files of processes that know nothing of rotation: read their end, keep them small."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 10 * 1024 * 1024
KEEP: Final = 3
_TAIL_BYTES: Final = 64 * 1024


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def tail(path: Path, lines: int, *, since: int = 0) -> list[str]:
    """The last lines, none of them from before byte `since`."""
    end = size(path)
    start = max(since if since <= end else 0, end - _TAIL_BYTES)
    if end == 0:
        return []
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start).decode(errors="replace").splitlines()[-lines:]


def rotate(path: Path, *, max_bytes: int = MAX_BYTES, keep: int = KEEP) -> bool:
    """Copy to `.1` and empty the file once it is too big; older copies move on, the oldest goes.

    The process keeps writing to the same file, which it opened for appending, so nobody need tell it.
    What it writes between the copy and the cut, a few microseconds, is lost.
    """
    if size(path) <= max_bytes:
        return False
    for number in range(keep - 1, 0, -1):
        older = _copy(path, number)
        if older.exists():
            older.replace(_copy(path, number + 1))
    shutil.copyfile(path, _copy(path, 1))
    os.truncate(path, 0)
    return True


def _copy(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
