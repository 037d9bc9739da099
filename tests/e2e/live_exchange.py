"""A whole exchange for end-to-end tests: `tapehouse up` in a folder and on ports of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service_runtime.settings import KafkaSettings, PostgresSettings, RedisSettings
from tapehouse.demo.settings import DemoSettings
from tapehouse.local_stack import ports
from tapehouse.supervisor import state_file
from tests import scratch, service_logs, service_process

START_DEADLINE_S = 120.0
STOP_DEADLINE_S = 40.0
_RUN_OF_PORTS = 40


@dataclass(frozen=True)
class LiveExchange:
    folder: Path
    environment: dict[str, str]
    output: Path

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.environment['TAPEHOUSE_PORTS__API']}"

    @property
    def stream_url(self) -> str:
        return f"ws://127.0.0.1:{self.environment['TAPEHOUSE_PORTS__API']}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.environment['TAPEHOUSE_PORTS__ADMIN']}"

    @property
    def settings(self) -> DemoSettings:
        """What a command in this folder would read from its environment."""
        said = self.environment
        return DemoSettings.model_validate(
            {
                "kafka": KafkaSettings(bootstrap_servers=said["TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS"]),
                "postgres": PostgresSettings(dsn=said["TAPEHOUSE_POSTGRES__DSN"]),
                "redis": RedisSettings(url=said["TAPEHOUSE_REDIS__URL"]),
                "ports": {
                    "api": int(said["TAPEHOUSE_PORTS__API"]),
                    "admin": int(said["TAPEHOUSE_PORTS__ADMIN"]),
                },
                "secrets": {"operator_token_file": Path(said["TAPEHOUSE_SECRETS__OPERATOR_TOKEN_FILE"])},
            }
        )

    def command(self, *arguments: str, timeout_s: float = 240.0) -> subprocess.CompletedProcess[str]:
        """Run `tapehouse` as an operator would, from another shell."""
        return subprocess.run(
            [sys.executable, "-m", "tapehouse", "--data", str(self.folder), *arguments],
            env=plain_environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def pids(self) -> dict[str, int]:
        """Return the processes that run, by name (`matcher-0`)."""
        state = state_file.running(self.folder / "run")
        assert state is not None
        return {p.name: p.pid for p in state.processes if p.pid is not None}

    def answer(self, *arguments: str) -> Any:
        """Run a command as a script would: it must succeed and print one object."""
        done = self.command(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        document = json.loads(done.stdout)
        assert document["ok"] is True
        return document

    def status(self) -> Any:
        return json.loads(self.command("status", "--json").stdout)


@contextmanager
def running(*arguments: str, **variables: str) -> Iterator[LiveExchange]:
    """Run `tapehouse up` with more arguments and variables until the block ends."""
    with scratch.folder("tapehouse-e2e-") as name:
        root = Path(name)
        root.chmod(0o711)  # PostgreSQL, which never runs as root, must pass
        folder, output = root / "data", root / "up.log"
        environment = plain_environment() | port_variables() | variables
        process = service_process.start(
            *("tapehouse", "--data", str(folder), "up", *arguments), environment=environment, log_file=output
        )
        service_logs.watch(folder / "logs")
        try:
            state = _await_running(process, folder, output)
            yield LiveExchange(folder, dict(state.environment), output)
        finally:
            _stop(process)


def plain_environment() -> dict[str, str]:
    """Return the environment without what would point to another exchange."""
    kept = ("TAPEHOUSE_CACHE_DIR", "TAPEHOUSE_MAVEN_REPOSITORY")
    return {k: v for k, v in os.environ.items() if k in kept or not k.startswith("TAPEHOUSE_")}


def port_variables() -> dict[str, str]:
    """Return ports in one free run, since the health ports and market data's follow one another."""
    while True:
        first = random.SystemRandom().randrange(20_000, 32_000)
        if all(ports.is_free(first + n) for n in range(_RUN_OF_PORTS)):
            break
    names = ("API", "ADMIN", "KAFKA", "KAFKA_CONTROLLER", "POSTGRES", "VALKEY")
    own = {f"TAPEHOUSE_PORTS__{name}": str(first + n) for n, name in enumerate(names)}
    return own | {
        "TAPEHOUSE_PORTS__USER_DATA": str(first + 7),
        "TAPEHOUSE_PORTS__MARKET_DATA": str(first + 8),
        "TAPEHOUSE_PORTS__HEALTH": str(first + 14),
    }


def _await_running(process: subprocess.Popen[bytes], folder: Path, output: Path) -> state_file.ExchangeState:
    deadline = time.monotonic() + START_DEADLINE_S
    while True:
        state = state_file.read(folder / "run")
        if state is not None and state.phase == "running":
            return state
        said = output.read_text()[-4000:]
        assert process.poll() is None, f"tapehouse up ended:\n{said}"
        assert time.monotonic() < deadline, f"tapehouse up is not ready:\n{said}"
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError("tapehouse up did not stop") from None
