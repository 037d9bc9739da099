"""The private file with the demo's keys."""

from __future__ import annotations

from pathlib import Path

from tapehouse.demo import accounts
from tapehouse.operator_client import TradingAccount

ALICE = TradingAccount("demo-alice", 1001, "key", "secret")


def test_file_is_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "demo-accounts.json"
    accounts.write(path, [ALICE])
    accounts.write(path, [ALICE])
    assert path.stat().st_mode & 0o777 == 0o600
    assert accounts.read(path) == {"demo-alice": ALICE}


def test_no_file_and_a_torn_file_are_no_accounts(tmp_path: Path) -> None:
    path = tmp_path / "demo-accounts.json"
    assert accounts.read(path) == {}
    path.write_text('[{"name": "demo-ali')
    assert accounts.read(path) == {}
