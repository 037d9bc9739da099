from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from matcher.replay import main
from schemas.codec import encode
from tests.unit.matcher.orders import BUY, SELL, Desk


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.enter(1, SELL, 100, 5)
    desk.enter(2, BUY, 100, 2)
    return desk


def test_prints_the_records_then_the_hashes(
    desk: Desk, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file = tmp_path / "commands.jsonl"
    file.write_bytes(b"\n".join(encode(given.command) for given in desk.inputs))
    assert main([str(file), "--book"]) == 0
    engine, lines = desk.engine, capfdbinary.readouterr().out.decode().splitlines()
    assert [line.startswith('{"type":"CommandMatched.v1"') for line in lines[:2]] == [True, True]
    assert lines[2:] == [
        f"BTCUSDT sequence=2 last_hash={engine.last_hash} book_hash={engine.book_hash()}",
        "bid_lots | ticks | ask_lots",
        "         |   100 | 3",
    ]


def test_bad_lines_are_named_and_the_rest_goes_on(
    desk: Desk, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "commands.jsonl"
    good = encode(desk.inputs[0].command)
    file.write_bytes(b"\n".join([b"garbage", good.replace(b"BTCUSDT", b"NOSUCH"), b"", good]))
    assert main([str(file)]) == 2
    told = capfd.readouterr()
    assert [line.split(":")[0] for line in told.err.splitlines()] == ["line 1", "line 2"]
    assert "BTCUSDT sequence=1 " in told.out


def test_missing_file_is_told_plainly(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["/no/such/file"]) == 1
    assert capfd.readouterr().err == "/no/such/file: No such file or directory\n"


def test_needs_no_client_library() -> None:
    clients = "{'confluent_kafka', 'redis', 'psycopg'}"
    code = f"import sys, matcher.replay; sys.exit(bool({clients} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
