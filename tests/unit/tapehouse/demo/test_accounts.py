"""The private file with the demo's keys."""

from __future__ import annotations

from pathlib import Path

from tapehouse.demo import accounts
from tapehouse.operator_client import TradingAccount

ALICE = TradingAccount("alice", 1001, "key", "secret")


def test_file_is_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "demo-accounts.json"
    accounts.write(path, [ALICE])
    accounts.write(path, [ALICE])
    assert path.stat().st_mode & 0o777 == 0o600
    assert accounts.read(path) == {"alice": ALICE}


def test_no_file_and_a_torn_file_are_no_accounts(tmp_path: Path) -> None:
    path = tmp_path / "demo-accounts.json"
    assert accounts.read(path) == {}
    path.write_text('[{"name": "ali')
    assert accounts.read(path) == {}


def test_introduction_names_people_only(tmp_path: Path) -> None:
    path = tmp_path / "demo-accounts.json"
    assert accounts.introduction(path) == []
    accounts.write(path, [ALICE, TradingAccount("fleet-maker-1", 1003, "k", "s")])
    lines = accounts.introduction(path)
    assert len(lines) == 2
    assert lines[0].startswith("alice: ")
