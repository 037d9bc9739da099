"""The throw-away exchange of a chaos run: `tapehouse up` on a folder and ports of its own."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from service_runtime.settings import KafkaSettings, PostgresSettings, RedisSettings
from tapehouse.demo.settings import DemoSettings
from tapehouse.errors import OperatorError
from tapehouse.local_stack import ports
from tapehouse.supervisor import log_file, state_file
from tapehouse.supervisor.program import bound

START_S: Final = 240.0
_RUN_OF_PORTS: Final = 40
LIMITS: Final = json.dumps(
    {
        "request_weight_1m": 100_000_000,
        "raw_requests_5m": 100_000_000,
        "connections_5m": 10_000_000,
        "orders_10s": 1_000_000,
        "orders_1d": 100_000_000,
    }
)
_ENDED = re.compile(r"^(\S+) ended \((.+?)\); it is started again", re.MULTILINE)


@dataclass
class Arena:
    root: Path
    scale: str = ""
    options: tuple[str, ...] = ()
    """More options of `tapehouse up`."""
    variables: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: asyncio.subprocess.Process | None = None

    @classmethod
    def fresh(cls, scale: str = "", options: tuple[str, ...] = ()) -> Arena:
        root = Path(tempfile.mkdtemp(prefix="tapehouse-chaos-"))
        root.chmod(0o711)  # PostgreSQL, which never runs as root, must pass
        (root / "failpoints").mkdir()
        own = {
            "TAPEHOUSE_LIMITS": LIMITS,
            "TAPEHOUSE_FAILPOINT_FOLDER": str(root / "failpoints"),
            "TAPEHOUSE_BROKER_AOT_CACHE": "false",
            "TAPEHOUSE_SNAPSHOT_EVERY_RECORDS": "500",
            "TAPEHOUSE_SNAPSHOT_EVERY_S": "5",  # so that there is one to start from, and one to damage
        }
        return cls(root, scale, options, {**_plain_environment(), **_port_variables(), **own})

    # -- its life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start it and return when it serves. Raises OperatorError with what `up` said."""
        scale = ("--scale", self.scale) if self.scale else ()
        argv = (sys.executable, "-m", "tapehouse", "--data", str(self.data), "up", *scale, *self.options)
        since = log_file.size(self.output)
        with self.output.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *bound(argv, orphan_signal=signal.SIGTERM),
                env=dict(self.variables),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while (state := self.state()) is None or state.phase != "running" or state.pid != self._process.pid:
            if self._process.returncode is not None or time.monotonic() > deadline:
                said = "\n".join(log_file.tail(self.output, 30, since=since))
                raise OperatorError(f"the exchange of the run does not start:\n{said}")
            await asyncio.sleep(0.05)
        self.environment = state.environment

    async def stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        self.wake_all()
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(20):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def kill_supervisor(self) -> None:
        """SIGKILL `tapehouse up` itself; the kernel ends its processes with it."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    # -- its processes --------------------------------------------------------------------------

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def output(self) -> Path:
        return self.root / "up.log"

    @property
    def failpoints(self) -> Path:
        return self.root / "failpoints"

    def state(self) -> state_file.ExchangeState | None:
        return state_file.read(self.data / "run")

    def processes(self) -> dict[str, state_file.ProcessState]:
        state = self.state()
        return {} if state is None else {process.name: process for process in state.processes}

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self.processes().items() if process.pid is not None}

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Whether it was there to be signaled."""
        pid = self.pids().get(name)
        if pid is None:
            return False
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self, name: str) -> bool:
        return self.signal(name, signal.SIGKILL)

    def wake_all(self) -> None:
        for name in self.pids():
            self.signal(name, signal.SIGCONT)

    async def fresh_pid(self, name: str, old: int | None, most_s: float = 30.0) -> int:
        """Wait for another process of that name. Raises OperatorError."""
        deadline = time.monotonic() + most_s
        while (pid := self.pids().get(name)) in (None, old):
            if time.monotonic() > deadline:
                raise OperatorError(f"{name} was not started again within {most_s:.0f} s")
            await asyncio.sleep(0.005)
        assert pid is not None
        return pid

    def endings(self) -> Counter[tuple[str, str]]:
        """How often each process ended, and how, since the first start."""
        return Counter(_ENDED.findall(self.output.read_text(errors="replace")))

    async def health(self, name: str) -> dict[str, Any] | None:
        """Return what the process says of itself when it is ready; None when it is not."""
        process = self.processes().get(name)
        if process is None or process.health_port is None or process.pid is None:
            return None
        try:
            async with httpx.AsyncClient(timeout=1.0, trust_env=False) as client:
                answer = await client.get(f"http://{ports.HOST}:{process.health_port}/health/ready")
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError):
            return None
        return found if answer.status_code == 200 else None

    # -- its addresses --------------------------------------------------------------------------

    @property
    def settings(self) -> DemoSettings:
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

    @property
    def shell(self) -> dict[str, str]:
        """The environment of a program that works on this exchange."""
        return {**self.variables, **self.environment}


def _plain_environment() -> dict[str, str]:
    """The environment without what would point to another exchange."""
    kept = ("TAPEHOUSE_CACHE_DIR", "TAPEHOUSE_MAVEN_REPOSITORY")
    return {k: v for k, v in os.environ.items() if k in kept or not k.startswith("TAPEHOUSE_")}


def _port_variables() -> dict[str, str]:
    """Ports in one free run, since the health ports and market data's follow one another."""
    dice = random.SystemRandom()
    while True:
        first = dice.randrange(20_000, 32_000)
        if all(ports.is_free(first + n) for n in range(_RUN_OF_PORTS)):
            break
    names = ("API", "ADMIN", "KAFKA", "KAFKA_CONTROLLER", "POSTGRES", "VALKEY")
    own = {f"TAPEHOUSE_PORTS__{name}": str(first + n) for n, name in enumerate(names)}
    return own | {
        "TAPEHOUSE_PORTS__USER_DATA": str(first + 7),
        "TAPEHOUSE_PORTS__MARKET_DATA": str(first + 8),
        "TAPEHOUSE_PORTS__HEALTH": str(first + 14),
    }
