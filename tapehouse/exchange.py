"""An exchange on this machine, as a plan: its programs, its ports, its environment. Starts nothing."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from tapehouse.local_stack import jars, ports
from tapehouse.local_stack.data_folder import DataFolder
from tapehouse.local_stack.kafka import KafkaServer
from tapehouse.local_stack.ports import Wanted
from tapehouse.local_stack.postgres import PostgresServer
from tapehouse.local_stack.valkey import ValkeyServer
from tapehouse.service_table import DEMO, SERVICES, Service
from tapehouse.settings import OperatorSettings
from tapehouse.supervisor.identity import RunAs
from tapehouse.supervisor.program import Program

READY_TIMEOUT_S: Final = 120.0
"""A service that recovers a long log may take a while."""


@dataclass(frozen=True)
class Exchange:
    settings: OperatorSettings
    folder: DataFolder
    scale: Mapping[str, int]
    postgres_user: RunAs | None
    demo: bool = False

    @cached_property
    def kafka(self) -> KafkaServer | None:
        if not self.settings.embeds_kafka:
            return None
        repository = self.settings.maven_repository
        return KafkaServer(
            folder=self.folder.kafka,
            log_file=self.folder.logs / "kafka.log",
            cache=self.settings.cache_dir,
            port=self.settings.ports.kafka,
            controller_port=self.settings.ports.kafka_controller,
            repository=None if repository is None else str(repository).rstrip("/"),
        )

    @cached_property
    def postgres(self) -> PostgresServer | None:
        if not self.settings.embeds_postgres:
            return None
        return PostgresServer(
            folder=self.folder.postgres,
            log_file=self.folder.logs / "postgres.log",
            port=self.settings.ports.postgres,
            password=self.folder.secret("postgres"),
            run_as=self.postgres_user,
        )

    @cached_property
    def valkey(self) -> ValkeyServer | None:
        if not self.settings.embeds_valkey:
            return None
        return ValkeyServer(
            folder=self.folder.valkey,
            log_file=self.folder.logs / "valkey.log",
            port=self.settings.ports.valkey,
            password=self.folder.secret("valkey"),
        )

    def preparations(self, progress: jars.Progress) -> list[Callable[[], Program]]:
        """What makes each embedded server ready to start; they may run at the same time."""
        kafka, found = self.kafka, []
        if kafka is not None:
            found.append(lambda: kafka.prepare(progress))
        found += [server.prepare for server in (self.postgres, self.valkey) if server is not None]
        return found

    def environment(self) -> dict[str, str]:
        """By which every process finds the servers, the ports and the secrets of this exchange."""
        settings, secrets = self.settings, self.folder.root / "secrets"
        return {
            "TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS": (
                settings.kafka.bootstrap_servers if self.kafka is None else self.kafka.bootstrap_servers
            ),
            "TAPEHOUSE_POSTGRES__DSN": settings.postgres.dsn if self.postgres is None else self.postgres.dsn,
            "TAPEHOUSE_REDIS__URL": settings.redis.url if self.valkey is None else self.valkey.url,
            "TAPEHOUSE_PORTS__HOST": settings.ports.host,
            "TAPEHOUSE_PORTS__API": str(settings.ports.api),
            "TAPEHOUSE_PORTS__ADMIN": str(settings.ports.admin),
            "TAPEHOUSE_SECRETS__MASTER_KEY_FILE": str(secrets / "master-key"),
            "TAPEHOUSE_SECRETS__OPERATOR_TOKEN_FILE": str(secrets / "operator-token"),
            "TAPEHOUSE_USER_DATA__PORT": str(settings.ports.user_data),
            "TAPEHOUSE_CANDLES__DATA_DIR": str(self.folder.root / "candles"),
        }

    def services(self) -> list[Program]:
        """Health ports follow the table, so that they stay the same from start to start."""
        instances = [(service, n) for service in SERVICES for n in range(self.scale[service.name])]
        return [
            self._program(service, instance, self.settings.ports.health + place)
            for place, (service, instance) in enumerate(instances)
        ]

    def traders(self) -> list[Program]:
        """The demo's fleet, if asked for; its health port is the one after the services'."""
        place = sum(self.scale.values())
        return [self._program(DEMO, 0, self.settings.ports.health + place)] if self.demo else []

    def _program(self, service: Service, instance: int, health_port: int) -> Program:
        own = {
            "TAPEHOUSE_INSTANCE": str(instance),
            "TAPEHOUSE_HEALTH_PORT": str(health_port),
            "PYTHONUNBUFFERED": "1",
        }
        market_data = self.settings.ports.market_data
        if service.name == "market-data":
            own["TAPEHOUSE_MARKET_DATA__PORT"] = str(market_data + instance)
        if service.name == "ingest":
            port = market_data + instance % self.scale["market-data"]
            own["TAPEHOUSE_GATEWAY__MARKET_DATA_URL"] = f"http://{ports.HOST}:{port}"
        name = f"{service.name}-{instance}"
        return Program(
            name=name,
            service=service.name,
            argv=(sys.executable, "-m", service.module),
            env={**os.environ, **self.environment(), **own},
            cwd=Path.cwd(),
            log_file=self.folder.logs / f"{name}.log",
            ready=lambda: answers_ready(health_port),
            start_timeout_s=READY_TIMEOUT_S,
            stop_timeout_s=service.stop_timeout_s,
            instance=instance,
            health_port=health_port,
            stage=service.stage,
        )

    def wanted_ports(self) -> list[Wanted]:
        own = self.settings.ports
        wanted = []
        if self.kafka is not None:
            wanted.append(Wanted(own.kafka, "kafka", "TAPEHOUSE_PORTS__KAFKA"))
            wanted.append(
                Wanted(own.kafka_controller, "kafka's controller", "TAPEHOUSE_PORTS__KAFKA_CONTROLLER")
            )
        if self.postgres is not None:
            wanted.append(Wanted(own.postgres, "postgres", "TAPEHOUSE_PORTS__POSTGRES"))
        if self.valkey is not None:
            wanted.append(Wanted(own.valkey, "valkey", "TAPEHOUSE_PORTS__VALKEY"))
        wanted.append(Wanted(own.api, "the public API", "TAPEHOUSE_PORTS__API", own.host))
        wanted.append(Wanted(own.admin, "the admin API", "TAPEHOUSE_PORTS__ADMIN"))
        wanted.append(Wanted(own.user_data, "user-data", "TAPEHOUSE_PORTS__USER_DATA"))
        wanted += [
            Wanted(own.market_data + n, f"market-data-{n}", "TAPEHOUSE_PORTS__MARKET_DATA")
            for n in range(self.scale["market-data"])
        ]
        wanted += [
            Wanted(program.health_port, f"the health of {program.name}", "TAPEHOUSE_PORTS__HEALTH")
            for program in (*self.services(), *self.traders())
            if program.health_port is not None
        ]
        return wanted


def answers_ready(health_port: int) -> bool:
    connection = http.client.HTTPConnection(ports.HOST, health_port, timeout=0.5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
