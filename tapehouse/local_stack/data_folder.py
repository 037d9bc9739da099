"""The data folder: everything an exchange keeps on this machine, and its secrets."""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tapehouse.errors import OperatorError
from tapehouse.supervisor.identity import RunAs
from tapehouse.supervisor.program import bound

DEFAULT_NAME = ".tapehouse"
SYSTEM_DEFAULT = Path("/var/lib/tapehouse")


@dataclass(frozen=True, slots=True)
class DataFolder:
    root: Path

    @property
    def kafka(self) -> Path:
        return self.root / "kafka"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        return self.root / "valkey"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """What holds only while the exchange runs: lock, socket, process table, addresses."""
        return self.root / "run"

    def create(self, *, run_as: RunAs | None) -> None:
        """Make the folders. Others may pass through the root only where another user must."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700 if run_as is None or run_as.in_namespace else 0o711)
        for folder in (self.kafka, self.valkey, self.logs, self.run, self.root / "secrets"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)

    def secret(self, name: str) -> str:
        """A generated password, the same at every call; only the owner can read its file."""
        path = self.root / "secrets" / name
        try:
            return path.read_text()
        except FileNotFoundError:
            fresh = path.with_suffix(".new")
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_hex(16))
            fresh.rename(path)
            return path.read_text()

    def remove(self) -> None:
        shutil.rmtree(self.root)


@cache
def postgres_user() -> RunAs | None:
    """PostgreSQL refuses root, and users that the password file does not know (some containers have them).

    What it runs as then, None for no change: a user in a namespace where the kernel lets us have one, else,
    as root, a system user. Raises OperatorError.
    """
    uid = os.geteuid()
    if uid != 0 and _is_known(uid):
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        namespace = RunAs(name, in_namespace=True)
        if _works(namespace):
            return namespace
        if uid == 0:
            return RunAs(name)
    refused = "to run as root" if uid == 0 else f"to run as user {uid}, who is in no password file"
    raise OperatorError(
        f"PostgreSQL refuses {refused}, and on this machine there is no user 'postgres' or 'nobody' that it "
        "could run as. Run Tapehouse as an ordinary user, or give a database of your own in "
        "TAPEHOUSE_POSTGRES__DSN."
    )


def _is_known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _works(run_as: RunAs) -> bool:
    program = [sys.executable, "-I", "-S", "-c", "import os; raise SystemExit(os.getuid() == 0)"]
    tried = subprocess.run(
        bound(program, run_as=run_as), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return tried.returncode == 0


def choose(given: Path | None, here: Path, run_as: RunAs | None) -> DataFolder:
    """The folder asked for, or `.tapehouse` in the checkout; as root, one that PostgreSQL's user can enter.

    Raises OperatorError when a given folder cannot be reached by that user.
    """
    if given is not None:
        root = given.expanduser().absolute()
        if run_as is not None and (blocker := unreachable(root, run_as)) is not None:
            raise OperatorError(
                f"the data folder {root} cannot be used as root: PostgreSQL has to run as another user, "
                f"'{run_as.user}', who may not enter {blocker}. "
                f"Give --data another folder, as {SYSTEM_DEFAULT}."
            )
        return DataFolder(root)
    root = here.absolute() / DEFAULT_NAME
    if run_as is not None and unreachable(root, run_as) is not None:
        name = hashlib.sha256(str(here.absolute()).encode()).hexdigest()[:8]
        return DataFolder(SYSTEM_DEFAULT / name)
    return DataFolder(root)


def unreachable(path: Path, run_as: RunAs) -> Path | None:
    """The first existing parent of `path` that the user may not pass through, by its mode bits."""
    if run_as.in_namespace:
        return None
    entry = pwd.getpwnam(run_as.user)
    for folder in reversed(path.absolute().parents):
        if not folder.exists():
            return None
        status = folder.stat()
        if status.st_uid == entry.pw_uid:
            passes = status.st_mode & stat.S_IXUSR
        elif status.st_gid == entry.pw_gid:
            passes = status.st_mode & stat.S_IXGRP
        else:
            passes = status.st_mode & stat.S_IXOTH
        if not passes:
            return folder
    return None
