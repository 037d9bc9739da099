"""Files of each format, read back by another program's reader."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from schemas.envelope import Message
from schemas.instruments import load_instruments
from tapehouse.errors import OperatorError
from tapehouse.replay.columns import Row, Shape, message_types
from tapehouse.replay.sinks import Format, Parquet, format_of, open_sink
from tests.unit.tapehouse.replay.messages import cancel, matched, place, record, trade, traded

AT_MS = 1_610_064_000_278


def write(
    path: Path, names: list[str], messages: list[Message], *, form: Format, decimals: bool = False
) -> None:
    shape = Shape(message_types(names), load_instruments(), decimals=decimals)
    with open_sink(form, shape.columns, path) as sink:
        sink.write([shape.row(record(m, i, at_ms=AT_MS), m) for i, m in enumerate(messages)])


def test_json_lines_have_the_fields_of_their_own_type(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    write(path, ["PlaceOrder.v1", "CancelOrder.v1"], [place(), cancel()], form=Format.JSONL)
    placed, canceled = [json.loads(line) for line in path.read_text().splitlines()]
    assert (placed["type"], placed["price_ticks"], placed["reply_partition"]) == ("PlaceOrder.v1", 100, None)
    assert ("price_ticks" in canceled, canceled["order_id"]) == (False, 7)


def test_csv_has_a_header_and_nothing_for_unset(tmp_path: Path) -> None:
    path = tmp_path / "requests.csv"
    quoted = cancel(client_order_id='a,"b"\nc')
    write(path, ["PlaceOrder.v1", "CancelOrder.v1"], [place(), quoted], form=Format.CSV)
    with path.open(newline="") as stream:
        placed, canceled = csv.DictReader(stream)
    assert (placed["price_ticks"], placed["order_id"]) == ("100", "")
    assert (canceled["client_order_id"], canceled["price_ticks"]) == ('a,"b"\nc', "")


def test_parquet_has_types_and_exact_decimals(tmp_path: Path) -> None:
    path = tmp_path / "trades.parquet"
    write(path, ["TradeExecuted.v1"], [trade(1), trade(2)], form=Format.PARQUET, decimals=True)
    schema = {field.name: str(field.type) for field in pq.read_schema(path)}
    assert schema["price"] == "decimal128(38, 8)"
    assert schema["trade_id"] == "int64"
    assert (schema["timestamp_ms"], schema["occurred_at_ns"]) == (
        "timestamp[ms, tz=UTC]",
        "timestamp[ns, tz=UTC]",
    )
    row: Any = pq.read_table(path, columns=["price", "quote", "timestamp_ms"]).to_pylist()[0]
    assert row["price"] == Decimal("39432.48")
    assert row["timestamp_ms"] == datetime(2021, 1, 8, 0, 0, 0, 278_000, tzinfo=UTC)
    assert duckdb.sql(f"SELECT sum(quantity)::VARCHAR FROM '{path}'").fetchall() == [("0.00052600",)]


def test_nested_events_are_json_text_in_tables(tmp_path: Path) -> None:
    for form in (Format.CSV, Format.PARQUET):
        path = tmp_path / f"matched.{form}"
        write(path, ["CommandMatched.v1"], [matched(events=(traded(),))], form=form)
        rows = duckdb.sql(f"SELECT json_extract_string(events, '$[0].trade_id') FROM '{path}'").fetchall()
        assert rows == [("1",)]


def test_parquet_of_nothing_has_the_columns(tmp_path: Path) -> None:
    write(tmp_path / "none.parquet", ["TradeExecuted.v1"], [], form=Format.PARQUET)
    table = pq.read_table(tmp_path / "none.parquet")
    assert (table.num_rows, "price_ticks" in table.column_names) == (0, True)


def test_parquet_holds_no_more_than_a_row_group(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    shape = Shape(message_types(["TradeExecuted.v1"]), load_instruments(), decimals=False)
    row: Row = shape.row(record(trade()), trade())
    with open_sink(Format.PARQUET, shape.columns, path) as sink:
        for _ in range(5):
            sink.write([row] * (Parquet.ROW_GROUP // 2))
    assert pq.ParquetFile(path).metadata.num_row_groups == 3


class Stopped(Exception):
    pass


def test_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "trades.csv"
    path.write_text("before")

    def fail_half_way() -> None:
        with open_sink(Format.CSV, (), path):
            raise Stopped

    with pytest.raises(Stopped):
        fail_half_way()
    assert [p.name for p in tmp_path.iterdir()] == ["trades.csv"]
    assert path.read_text() == "before"


def test_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    def write_nowhere() -> None:
        with open_sink(Format.CSV, (), tmp_path / "no" / "trades.csv"):
            pass

    with pytest.raises(OperatorError, match="cannot write"):
        write_nowhere()


def test_parquet_needs_a_file() -> None:
    def write_to_a_pipe() -> None:
        with open_sink(Format.PARQUET, (), None):
            pass

    with pytest.raises(OperatorError, match="--out FILE"):
        write_to_a_pipe()


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.csv", Format.CSV), ("a.PARQUET", Format.PARQUET), ("a.txt", Format.JSONL), (None, Format.JSONL)],
)
def test_name_of_the_file_says_the_format(name: str | None, form: Format) -> None:
    assert format_of(None if name is None else Path(name)) is form
