"""Where the rows go: JSON lines, CSV or Parquet; a file appears whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tapehouse.errors import USAGE, OperatorError
from tapehouse.replay.columns import Column, Kind, Row

BATCH_ROWS = 5_000
_encode = msgspec.json.Encoder().encode


class Format(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Sink(Protocol):
    def write(self, rows: Sequence[Row]) -> None: ...

    def finish(self) -> None: ...


def format_of(out: Path | None) -> Format:
    """Return the format that a file's name promises; JSON lines where it promises none."""
    suffix = "" if out is None else out.suffix.lstrip(".").lower()
    return Format(suffix) if suffix in tuple(Format) else Format.JSONL


@contextmanager
def open_sink(form: Format, columns: Sequence[Column], out: Path | None) -> Iterator[Sink]:
    """Yield the sink. The file is written beside `out` and renamed when the block ends well."""
    if out is None:
        if form is Format.PARQUET:
            raise OperatorError("Parquet is written to a file: add --out FILE", exit_code=USAGE)
        with _standard_output() as stream:
            sink = _SINKS[form](stream, columns)
            yield sink
            sink.finish()
        return
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            sink = _SINKS[form](stream, columns)
            yield sink
            sink.finish()
        partial.replace(out)
    except OSError as error:
        raise OperatorError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


class JsonLines:
    """One object a record, with the fields of its own type."""

    def __init__(self, stream: IO[bytes], columns: Sequence[Column]) -> None:
        self._stream = stream
        self._names = [column.name for column in columns]

    def write(self, rows: Sequence[Row]) -> None:
        names = self._names
        lines = [
            _encode({names[place]: value for place, value in zip(row.places, row.values, strict=True)})
            for row in rows
        ]
        self._stream.write(b"\n".join(lines) + b"\n")

    def finish(self) -> None:
        """Every line is written."""


class Csv:
    """RFC 4180 with a header line, LF line ends, nothing for an unset value."""

    def __init__(self, stream: IO[bytes], columns: Sequence[Column]) -> None:
        self._stream = stream
        self._columns = columns
        self._put([[column.name for column in columns]])

    def write(self, rows: Sequence[Row]) -> None:
        self._put([self._cells(row) for row in rows])

    def finish(self) -> None:
        """Every line is written."""

    def _cells(self, row: Row) -> list[Any]:
        cells: list[Any] = [None] * len(self._columns)
        for place, value in zip(row.places, row.values, strict=True):
            kind = self._columns[place].kind
            if kind is Kind.JSON:
                cells[place] = _encode(value).decode()
            elif kind is Kind.BOOLEAN and value is not None:
                cells[place] = "true" if value else "false"
            else:
                cells[place] = value
        return cells

    def _put(self, lines: Sequence[Sequence[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        self._stream.write(text.getvalue().encode())


class Parquet:
    """Typed columns, zstd, one row group a batch of `ROW_GROUP` rows."""

    ROW_GROUP = 20_000

    def __init__(self, stream: IO[bytes], columns: Sequence[Column]) -> None:
        self._columns = columns
        self._schema = parquet_schema(columns)
        self._writer = pq.ParquetWriter(stream, self._schema, compression="zstd")
        self._held: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        self._held.extend(rows)
        if len(self._held) >= self.ROW_GROUP:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if not self._held:
            return
        cells: list[list[Any]] = [[None] * len(self._held) for _ in self._columns]
        for index, row in enumerate(self._held):
            for place, value in zip(row.places, row.values, strict=True):
                cells[place][index] = value
        arrays = [
            pa.array([None if v is None else _PARQUET_VALUES.get(c.kind, _as_is)(v) for v in values], f.type)
            for c, f, values in zip(self._columns, self._schema, cells, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._held = []


@contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    """Buffered even under PYTHONUNBUFFERED, where a write to a pipe may be short."""
    try:
        stream: IO[bytes] = open(sys.stdout.fileno(), "wb", closefd=False)  # noqa: SIM115
    except io.UnsupportedOperation:  # standard output is not a file of the system
        stream = sys.stdout.buffer
    yield stream
    stream.flush()


def parquet_schema(columns: Sequence[Column]) -> pa.Schema:
    types = {
        Kind.INTEGER: pa.int64(),
        Kind.WIDE: pa.decimal128(38, 0),
        Kind.DECIMAL: pa.decimal128(38, 8),
        Kind.TEXT: pa.string(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.TIME_MS: pa.timestamp("ms", "UTC"),
        Kind.TIME_NS: pa.timestamp("ns", "UTC"),
        Kind.JSON: pa.string(),
    }
    return pa.schema([pa.field(column.name, types[column.kind]) for column in columns])


def _as_is(value: Any) -> Any:
    return value


_PARQUET_VALUES: dict[Kind, Callable[[Any], Any]] = {
    Kind.WIDE: Decimal,
    Kind.DECIMAL: Decimal,
    Kind.JSON: lambda value: _encode(value).decode(),
}
_SINKS: dict[Format, Callable[[IO[bytes], Sequence[Column]], Sink]] = {
    Format.JSONL: JsonLines,
    Format.CSV: Csv,
    Format.PARQUET: Parquet,
}
