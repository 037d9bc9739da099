"""The same services from Docker, for `TAPEHOUSE_TEST_SERVICES=containers`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class ContainerServices:
    stack: ExitStack

    def kafka(self) -> str:
        from testcontainers.kafka import KafkaContainer

        server = self.stack.enter_context(KafkaContainer("apache/kafka:4.3.1"))
        return str(server.get_bootstrap_server())

    def postgres(self) -> str:
        from testcontainers.postgres import PostgresContainer

        server = self.stack.enter_context(PostgresContainer("postgres:18", driver=None))
        return str(server.get_connection_url())

    def valkey(self) -> str:
        from testcontainers.redis import RedisContainer

        server = self.stack.enter_context(RedisContainer("valkey/valkey:9"))
        return f"redis://{server.get_container_host_ip()}:{server.get_exposed_port(6379)}/0"


@contextmanager
def services() -> Iterator[ContainerServices]:
    with ExitStack() as stack:
        yield ContainerServices(stack)
