"""What a backup says of itself: versions, positions, and a checksum of each file."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import msgspec

from tapehouse.errors import OperatorError

FORMAT = 1
FILE = "manifest.json"
_PIECE = 1 << 20


class TableFile(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """Of the table; its rows are in `NAME.copy.gz`, as COPY writes them."""
    columns: tuple[str, ...]
    rows: int
    checksum: str

    @property
    def file(self) -> str:
        return f"{self.name}.copy.gz"


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    service: str
    topic: str
    partition: int
    next_offset: int


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """Where a topic ended before the backup began: what was decided later stands behind it."""

    topic: str
    partition: int
    offset: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    taken_at: str
    server_version: str
    migrations: dict[str, str]
    """File name -> SHA-256, as `schema_migrations` has them."""
    tables: tuple[TableFile, ...]
    """In an order in which they may be filled."""
    sequences: dict[str, tuple[int, bool]]
    """Name -> last value, whether it was handed out."""
    positions: tuple[PositionRow, ...]
    floors: tuple[Floor, ...]


def write(folder: Path, manifest: Manifest) -> None:
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / FILE).write_bytes(data + b"\n")


def read(folder: Path) -> Manifest:
    """Return the manifest after every file was checked. Raises OperatorError."""
    try:
        manifest = msgspec.json.decode((folder / FILE).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise OperatorError(f"{folder} is no backup: {error}") from error
    if manifest.format != FORMAT:
        raise OperatorError(f"{folder} has format {manifest.format}; this Tapehouse reads {FORMAT}")
    for table in manifest.tables:
        path = folder / table.file
        if not path.is_file():
            raise OperatorError(f"{folder}: {table.file} is missing")
        if checksum(path) != table.checksum:
            raise OperatorError(f"{folder}: {table.file} is damaged, its checksum is wrong")
    return manifest


def checksum(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
