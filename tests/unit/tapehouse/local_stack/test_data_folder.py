from __future__ import annotations

import getpass
import stat
from pathlib import Path

import pytest

from tapehouse.errors import OperatorError
from tapehouse.local_stack import data_folder
from tapehouse.local_stack.data_folder import DataFolder
from tapehouse.supervisor.identity import RunAs

DAEMON = RunAs("daemon")


def test_default_is_beside_the_checkout(tmp_path: Path) -> None:
    assert data_folder.choose(None, tmp_path, None) == DataFolder(tmp_path / ".tapehouse")


def test_closed_checkout_moves_the_default_to_where_postgres_can_go(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    chosen = data_folder.choose(None, tmp_path, DAEMON)
    assert chosen.root.parent == data_folder.SYSTEM_DEFAULT
    assert chosen == data_folder.choose(None, tmp_path, DAEMON)
    assert chosen != data_folder.choose(None, tmp_path / "other", DAEMON)


def test_given_folder_that_postgres_cannot_enter_is_refused_naming_the_blocker(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    blocker = data_folder.unreachable(closed / "data", DAEMON)
    assert blocker is not None
    with pytest.raises(OperatorError, match=f"may not enter {blocker}"):
        data_folder.choose(closed / "data", tmp_path, DAEMON)


def test_owner_passes_where_others_do_not(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o700)
    assert data_folder.unreachable(folder / "data", RunAs(getpass.getuser())) is None


def test_in_a_namespace_no_folder_is_closed_or_opened(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    run_as = RunAs("daemon", in_namespace=True)
    folder = data_folder.choose(None, tmp_path, run_as)
    assert folder.root == tmp_path / ".tapehouse"
    folder.create(run_as=run_as)
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700


def test_secret_is_made_once_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.create(run_as=None)
    password = folder.secret("postgres")
    assert password == folder.secret("postgres") != folder.secret("valkey")
    path = folder.root / "secrets" / "postgres"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700


def test_another_user_may_pass_through_the_root_but_not_read_it(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.create(run_as=DAEMON)
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o711
    assert stat.S_IMODE(folder.logs.stat().st_mode) == 0o700


STRANGER = 54_321
"""No password file knows this user."""


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: STRANGER)


def test_a_user_without_a_name_runs_postgres_in_a_namespace(
    stranger: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folder, "_works", lambda run_as: run_as.in_namespace)
    found = data_folder.postgres_user.__wrapped__()
    assert found is not None
    assert found.in_namespace
    assert found.user in ("postgres", "nobody")


def test_a_user_without_a_name_or_a_namespace_is_told_what_to_do(
    stranger: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folder, "_works", lambda run_as: False)
    with pytest.raises(OperatorError, match=f"run as user {STRANGER}.*TAPEHOUSE_POSTGRES__DSN"):
        data_folder.postgres_user.__wrapped__()
