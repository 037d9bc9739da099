"""T5: a broker with an authorizer refuses every write to a topic of which the writer is not an owner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from schemas.topics import TopicMap, load_topics
from service_runtime.settings import KafkaSettings
from tapehouse import acls, topics
from tapehouse.local_stack import ports
from tapehouse.local_stack.kafka import KafkaServer
from tapehouse.topic_acls import SERVICES, owners
from tests.services import CACHE, Services, embedded, running

pytestmark = pytest.mark.long

SMALL = TopicMap({n: replace(t, partitions=1) for n, t in load_topics().topics.items()}, {})
"""One partition a topic: this is about who, not how much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardedKafka(KafkaServer):
    """Everybody signs in, but for the address that only this machine's operator uses."""

    guarded_port: int

    def settings(self) -> dict[str, object]:
        given = KafkaServer.settings(self)
        guarded = f"GUARDED://{ports.HOST}:{self.guarded_port}"
        return {
            **given,
            **acls.AUTHORIZER,
            "super.users": f"{acls.AUTHORIZER['super.users']};User:ANONYMOUS",
            "listeners": f"{given['listeners']},{guarded}",
            "advertised.listeners": f"{given['advertised.listeners']},{guarded}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_PLAINTEXT",
            "listener.name.guarded.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
        }


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """The address of a broker with topics, users (their password is their name) and rules."""
    with embedded() as services:
        server = _server(services)
        with running(server.prepare(lambda present, total: None)):
            topics.apply(server.bootstrap_servers, declared=SMALL)
            admin = AdminClient({"bootstrap.servers": server.bootstrap_servers})
            info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
            users = [UserScramCredentialUpsertion(name, info, name.encode()) for name in SERVICES]
            for future in admin.alter_user_scram_credentials(users).values():
                future.result(30)
            acls.apply(KafkaSettings(bootstrap_servers=server.bootstrap_servers), SMALL)
            yield f"{ports.HOST}:{server.guarded_port}"


def _server(services: Services) -> GuardedKafka:
    port, controller_port, guarded_port = ports.free_ports(3)
    folder = services.folder
    return GuardedKafka(
        folder=folder.kafka,
        log_file=folder.logs / "kafka.log",
        cache=CACHE,
        port=port,
        controller_port=controller_port,
        guarded_port=guarded_port,
    )


def writable(address: str, service: str) -> dict[str, int]:
    """Try to write every topic as the service; return the error of each, 0 for none."""
    producer = Producer(
        {
            "bootstrap.servers": address,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": service,
            "sasl.password": service,
            "message.timeout.ms": 30_000,
            "log_level": 0,
        }
    )
    found: dict[str, int] = {}

    def told(error: KafkaError | None, message: Any) -> None:
        found[message.topic()] = 0 if error is None else error.code()

    for topic in SMALL.topics:
        producer.produce(topic, b"forged", b"key", partition=0, on_delivery=told)
    assert producer.flush(60) == 0
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_writes_the_topics_it_owns_and_no_other(guarded: str, service: str) -> None:
    refused = KafkaError.TOPIC_AUTHORIZATION_FAILED
    expected = {n: 0 if service in owners(t.owner) else refused for n, t in SMALL.topics.items()}
    assert writable(guarded, service) == expected


def test_whoever_is_nobody_does_not_get_in(guarded: str) -> None:
    with pytest.raises(Exception, match="uthentication"):
        _list(guarded, {"sasl.username": "mallory", "sasl.password": "mallory"})


def _list(address: str, user: dict[str, str]) -> None:
    raised: list[Exception] = []
    admin = AdminClient(
        {
            "bootstrap.servers": address,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "log_level": 0,
            "error_cb": lambda error: raised.append(PermissionError(error.str())),
            **user,
        }
    )
    for _ in range(60):
        admin.poll(0.5)
        if raised:
            raise raised[0]
