"""`tapehouse topics plan|apply|acls`: hold a broker to `topics.yaml`.

Exit 0: the same; 2: drift (after `apply`: drift that it refuses to touch); 1: error.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports without saying so
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from pydantic import Field
from rich.console import Console
from rich.table import Table

from schemas.topics import TopicMap, load_topics
from service_runtime.settings import KafkaSettings, ServiceSettings
from tapehouse.acls import acls_command
from tapehouse.console import fail
from tapehouse.errors import OperatorError
from tapehouse.topic_plan import Change, Changes, Kind, TopicState, compare, declared_config

__all__ = ["Change", "Changes", "Kind", "TopicsFailed", "app", "apply", "plan"]

REQUEST_TIMEOUT_S = 15.0
app = typer.Typer(no_args_is_help=True, help="Hold the broker to topics.yaml: plan shows, apply changes.")


class TopicsSettings(ServiceSettings):
    replication: int = Field(1, ge=1, le=32)
    """`TAPEHOUSE_REPLICATION`: copies of each partition; 1 on one machine, 3 in a cluster."""


class TopicsFailed(OperatorError):
    """The broker could not be read or changed."""


def plan(
    bootstrap_servers: str,
    replication: int | None = None,
    *,
    grow: Collection[str] = (),
    declared: TopicMap | None = None,
    kafka: KafkaSettings | None = None,
) -> Changes:
    """Return what separates the broker from topics.yaml. Raises TopicsFailed.

    `replication` None: as TopicsSettings says.
    """
    topic_map = declared or load_topics()
    replication = replication or TopicsSettings().replication
    return compare(topic_map, _read(_admin(bootstrap_servers, kafka), topic_map), replication, grow)


def apply(
    bootstrap_servers: str,
    replication: int | None = None,
    *,
    grow: Collection[str] = (),
    declared: TopicMap | None = None,
    kafka: KafkaSettings | None = None,
) -> Changes:
    """Create what is missing, set what differs, and return what was found to differ.

    Returns when every topic has its leaders. Never deletes; the changes of kind REFUSED were left
    as they are. Raises TopicsFailed. `replication` None: as TopicsSettings says.
    """
    topic_map = declared or load_topics()
    replication = replication or TopicsSettings().replication
    unknown = sorted(set(grow) - topic_map.topics.keys())
    if unknown:
        raise TopicsFailed(f"--grow {unknown[0]}: topics.yaml has no such topic")
    admin = _admin(bootstrap_servers, kafka)
    changes = compare(topic_map, _read(admin, topic_map), replication, grow)
    _create(admin, topic_map, changes, replication)
    _grow(admin, changes)
    _configure(admin, changes)
    _await_leaders(admin, topic_map, changes)
    return changes


def _admin(bootstrap_servers: str, kafka: KafkaSettings | None) -> AdminClient:
    extra = kafka.extra if kafka is not None else {}
    return AdminClient({**extra, "bootstrap.servers": bootstrap_servers, "log_level": 0})


def _read(admin: AdminClient, declared: TopicMap) -> dict[str, TopicState]:
    """Return the broker's own view of all topics but its internal ones."""
    metadata = _asked(lambda: admin.list_topics(timeout=REQUEST_TIMEOUT_S), "list the topics")
    found = {name: topic for name, topic in metadata.topics.items() if not name.startswith("__")}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in found if name in declared.topics]
    configs: dict[str, dict[str, ConfigEntry]] = {}
    if resources:
        futures = admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S)
        for resource, future in futures.items():
            configs[resource.name] = _asked(future.result, f"read the settings of {resource.name}")
    return {name: _state(topic, configs.get(name, {})) for name, topic in found.items()}


def _state(metadata: Any, config: dict[str, ConfigEntry]) -> TopicState:
    override: Any = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    partitions = metadata.partitions.values()
    return TopicState(
        partitions=len(metadata.partitions),
        replication=max((len(p.replicas) for p in partitions), default=0),
        config={name: str(entry.value) for name, entry in config.items()},
        overrides=frozenset(name for name, entry in config.items() if entry.source == override),
    )


def _create(admin: AdminClient, declared: TopicMap, changes: Changes, replication: int) -> None:
    topics = [declared.topics[change.topic] for change in changes.of(Kind.CREATE)]
    if not topics:
        return
    new = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=replication,
            config=declared_config(topic, replication),
        )
        for topic in topics
    ]
    _await(admin.create_topics(new, request_timeout=REQUEST_TIMEOUT_S).items(), "create")


def _grow(admin: AdminClient, changes: Changes) -> None:
    new = [NewPartitions(change.topic, int(change.declared)) for change in changes.of(Kind.GROW)]
    if new:
        _await(admin.create_partitions(new, request_timeout=REQUEST_TIMEOUT_S).items(), "grow")


def _configure(admin: AdminClient, changes: Changes) -> None:
    entries: dict[str, list[ConfigEntry]] = {}
    for change in changes.of(Kind.SET, Kind.RESET):
        reset = change.kind is Kind.RESET
        operation = AlterConfigOpType.DELETE if reset else AlterConfigOpType.SET
        value = None if reset else change.declared
        entry = ConfigEntry(change.setting, value, incremental_operation=operation)
        entries.setdefault(change.topic, []).append(entry)
    if not entries:
        return
    resources = [
        ConfigResource(ResourceType.TOPIC, topic, incremental_configs=settings)
        for topic, settings in entries.items()
    ]
    futures = admin.incremental_alter_configs(resources, request_timeout=REQUEST_TIMEOUT_S)
    _await(((resource.name, future) for resource, future in futures.items()), "configure")


def _await_leaders(admin: AdminClient, declared: TopicMap, changes: Changes) -> None:
    """Wait until a producer can write to what was created or grown."""
    waiting = {change.topic for change in changes.of(Kind.CREATE, Kind.GROW)}
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while waiting:
        metadata = _asked(lambda: admin.list_topics(timeout=REQUEST_TIMEOUT_S), "list the topics")
        for name in sorted(waiting):
            topic = metadata.topics.get(name)
            led = [p for p in topic.partitions.values() if p.leader >= 0] if topic is not None else []
            if len(led) >= declared.topics[name].partitions:
                waiting.discard(name)
        if waiting and time.monotonic() > deadline:
            raise TopicsFailed(f"no leader for {', '.join(sorted(waiting))} after {REQUEST_TIMEOUT_S:.0f} s")
        if waiting:
            time.sleep(0.05)


def _await(futures: Iterable[tuple[str, Any]], verb: str) -> None:
    for name, future in futures:
        _asked(future.result, f"{verb} {name}")


def _asked(call: Any, what: str) -> Any:
    try:
        return call()
    except KafkaException as error:
        reason = error.args[0]
        text = reason.str() if hasattr(reason, "str") else str(reason)
        raise TopicsFailed(f"cannot {what}: {text}") from error


# -- the command ---------------------------------------------------------------------------------

_BOOTSTRAP = typer.Option("--bootstrap-servers", "-b", help="Default: TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS.")
_REPLICATION = typer.Option("--replication", min=1, help="Default: TAPEHOUSE_REPLICATION, else 1.")
_FILE = typer.Option("--file", exists=True, dir_okay=False, help="Default: topics.yaml of this release.")
_GROW = typer.Option("--grow", metavar="TOPIC", help="A keyed topic that may get more partitions.")
_JSON = typer.Option("--json", help="For machines.")


@app.command("plan")
def plan_command(
    bootstrap_servers: Annotated[str | None, _BOOTSTRAP] = None,
    replication: Annotated[int | None, _REPLICATION] = None,
    file: Annotated[Path | None, _FILE] = None,
    grow: Annotated[list[str] | None, _GROW] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show what separates the broker from topics.yaml; change nothing."""
    _command(plan, bootstrap_servers, replication, file, grow or [], as_json)


@app.command("apply")
def apply_command(
    bootstrap_servers: Annotated[str | None, _BOOTSTRAP] = None,
    replication: Annotated[int | None, _REPLICATION] = None,
    file: Annotated[Path | None, _FILE] = None,
    grow: Annotated[list[str] | None, _GROW] = None,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Create missing topics and set what differs; delete nothing, move no keys unasked."""
    _command(apply, bootstrap_servers, replication, file, grow or [], as_json)


app.command("acls")(acls_command)


def _command(
    do: Any,
    bootstrap_servers: str | None,
    replication: int | None,
    file: Path | None,
    grow: list[str],
    as_json: bool,
) -> None:
    try:
        settings = ServiceSettings()
        servers = bootstrap_servers or settings.kafka.bootstrap_servers
        declared = _declared(file or settings.topics_file)
        changes: Changes = do(servers, replication, grow=grow, declared=declared, kafka=settings.kafka)
    except (TopicsFailed, ValueError) as error:
        raise fail("topics", error) from None
    if as_json:
        print(json.dumps([asdict(change) for change in changes.items], indent=2))
    else:
        _show(changes, applied=do is apply)
    raise typer.Exit(2 if (changes.refused if do is apply else changes.drift) else 0)


def _declared(file: Path) -> TopicMap:
    try:
        return load_topics(file)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise TopicsFailed(f"{file} is no list of topics: {type(error).__name__}: {error}") from error


def _show(changes: Changes, *, applied: bool) -> None:
    console = Console()
    if changes.items:
        table = Table("topic", "change", "setting", "declared", "found", "note")
        for item in changes.items:
            done = applied and item.kind not in (Kind.REFUSED, Kind.UNDECLARED)
            kind = f"{item.kind} (done)" if done else str(item.kind)
            table.add_row(item.topic, kind, item.setting, item.declared, item.found, item.note)
        console.print(table)
    left = len(changes.refused) if applied else len(changes.drift)
    print("The broker is as topics.yaml says." if not left else f"{left} differences are left.")
