"""What a launched program is: its user, its files, its end."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tapehouse.local_stack.data_folder import postgres_user
from tapehouse.supervisor.identity import RunAs
from tapehouse.supervisor.program import bound


def seen_by(run_as: RunAs | None, folder: Path) -> list[str]:
    program = "import os, sys; print(os.getuid(), os.stat(sys.argv[1]).st_uid, *os.listdir(sys.argv[1]))"
    argv = [sys.executable, "-I", "-S", "-c", program, str(folder)]
    done = subprocess.run(
        bound(argv, run_as=run_as), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_a_program_runs_as_its_starter_by_default(tmp_path: Path) -> None:
    assert seen_by(None, tmp_path) == [str(os.getuid()), str(os.getuid())]


def test_in_a_namespace_closed_folders_of_its_starter_are_its_own(tmp_path: Path) -> None:
    run_as = postgres_user()
    if run_as is None or not run_as.in_namespace:
        pytest.skip("an ordinary user needs no namespace, and some kernels refuse one")
    tmp_path.chmod(0o700)
    (tmp_path / "mine").touch()
    uid = str(pwd.getpwnam(run_as.user).pw_uid)
    assert seen_by(run_as, tmp_path) == [uid, uid, "mine"]


def test_what_cannot_be_run_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        bound([str(tmp_path / "missing")]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 127
    assert f"cannot run {tmp_path / 'missing'}" in done.stderr
