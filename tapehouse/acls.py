"""`tapehouse topics acls`: show, or set on the broker, who may do what with which topic.

The broker must have an authorizer and know its users; see `broker_settings`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports without saying so
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from rich.console import Console
from rich.table import Table

from schemas.topics import TopicMap, load_topics
from service_runtime.settings import KafkaSettings, ServiceSettings
from tapehouse.console import fail
from tapehouse.errors import OperatorError
from tapehouse.topic_acls import OPERATOR, Operation, Resource, Rule, rules

_TIMEOUT_S: Final = 30.0
AUTHORIZER: Final = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "false",
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "super.users": f"User:{OPERATOR}",
}
"""What a broker's settings need beside a SASL listener; a `;` separates further super users."""


class AclsFailed(OperatorError):
    """The broker could not be told."""


def apply(kafka: KafkaSettings, declared: TopicMap | None = None) -> list[Rule]:
    """Set every rule on the broker, as a super user; return them. Raises AclsFailed."""
    allowed = rules(declared or load_topics())
    admin = AdminClient({**kafka.extra, "bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    try:
        for future in admin.create_acls(list(map(_binding, allowed)), request_timeout=_TIMEOUT_S).values():
            future.result(_TIMEOUT_S)
    except KafkaException as error:
        raise AclsFailed(f"cannot set the rules: {error.args[0].str()}") from error
    return allowed


def _binding(rule: Rule) -> AclBinding:
    topic = rule.resource is Resource.TOPIC
    return AclBinding(
        ResourceType.TOPIC if topic else ResourceType.GROUP,
        rule.name,
        ResourcePatternType.LITERAL if topic else ResourcePatternType.PREFIXED,
        f"User:{rule.principal}",
        "*",
        AclOperation.WRITE if rule.operation is Operation.WRITE else AclOperation.READ,
        AclPermissionType.ALLOW,
    )


def acls_command(
    set_them: Annotated[bool, typer.Option("--apply", help="Set them on the broker.")] = False,
) -> None:
    """Show who may read and write which topic; with --apply set it on the broker."""
    settings = ServiceSettings()
    declared = load_topics(settings.topics_file)
    try:
        allowed = apply(settings.kafka, declared) if set_them else rules(declared)
    except AclsFailed as error:
        raise fail("topics acls", error) from None
    _show(allowed)


def _show(allowed: Iterable[Rule]) -> None:
    table = Table("principal", "resource", "name", "may")
    for rule in allowed:
        name = rule.name if rule.resource is Resource.TOPIC else f"{rule.name}*"
        table.add_row(f"User:{rule.principal}", rule.resource, name, rule.operation)
    Console().print(table)
