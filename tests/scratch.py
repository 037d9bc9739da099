"""Where servers of tests keep what nobody reads again: in memory, where there is enough of it.

Shared disks take a minute to delete ten thousand small files, and each fsync waits for others.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_LEAST_BYTES = 3 * 2**30


def folder(prefix: str) -> tempfile.TemporaryDirectory[str]:
    """Return a new folder that is deleted at the end of its `with`."""
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _LEAST_BYTES
    return tempfile.TemporaryDirectory(prefix=prefix, dir=_MEMORY if in_memory else None)
