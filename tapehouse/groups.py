"""`tapehouse groups`: who reads what, and how far behind.

Committed offsets are hints for operators: no service starts from them. A group that rebalances or
is empty is shown as it stands, with its lag.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from rich.console import Console
from rich.table import Table

from service_runtime.event_log import TopicPartition
from service_runtime.settings import KafkaSettings, ServiceSettings
from tapehouse.console import fail
from tapehouse.errors import OperatorError

REQUEST_TIMEOUT_S = 10.0
PATIENCE_S = 10.0
"""How long a coordinator that is moving or loading is asked again."""
_PASSING = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
}


class GroupsFailed(OperatorError):
    """The broker could not be asked."""


@dataclass(frozen=True)
class Member:
    member_id: str
    client_id: str
    instance_id: str | None
    host: str
    partitions: tuple[TopicPartition, ...]

    @property
    def name(self) -> str:
        return self.instance_id or self.client_id or self.member_id


@dataclass(frozen=True)
class Reading:
    """One partition of a group. `lag` is None where nothing was committed or the topic is gone."""

    topic: str
    partition: int
    member: str | None
    committed: int | None
    end: int | None

    @property
    def lag(self) -> int | None:
        return None if self.committed is None or self.end is None else max(self.end - self.committed, 0)


@dataclass(frozen=True)
class Group:
    group: str
    state: str
    members: tuple[Member, ...]
    readings: tuple[Reading, ...]

    @property
    def lag(self) -> int:
        """Records not yet committed, over the partitions where that is known."""
        return sum(reading.lag or 0 for reading in self.readings)


def assemble(
    group: str,
    state: str,
    members: Iterable[Member],
    committed: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Group:
    """Join what the coordinator knows of members and offsets: every partition of either is a row."""
    present = tuple(sorted(members, key=lambda member: (member.name, member.member_id)))
    owners = {source: member.name for member in present for source in member.partitions}
    readings = tuple(
        Reading(source.topic, source.partition, owners.get(source), committed.get(source), ends.get(source))
        for source in sorted(owners.keys() | committed.keys())
    )
    return Group(group, state.lower(), present, readings)


def read_groups(
    bootstrap_servers: str, kafka: KafkaSettings | None = None, only: Collection[str] = ()
) -> list[Group]:
    """Return every group the broker knows, or those of `only` that it knows, by name. Raises GroupsFailed."""
    extra = kafka.extra if kafka is not None else {}
    admin = AdminClient({**extra, "bootstrap.servers": bootstrap_servers, "log_level": 0})
    names = [name for name in _names(admin) if not only or name in only]
    described = {name: _described(admin, name) for name in names}
    committed = {name: _committed(admin, name) for name in names}
    sources = {source for offsets in committed.values() for source in offsets}
    for _, members in described.values():
        sources |= {source for member in members for source in member.partitions}
    ends = _ends(admin, sources)
    return [assemble(name, *described[name], committed[name], ends) for name in names]


def _names(admin: AdminClient) -> list[str]:
    listed = _patiently(
        lambda: admin.list_consumer_groups(request_timeout=REQUEST_TIMEOUT_S).result(), "list the groups"
    )
    if listed.errors:
        raise GroupsFailed(f"cannot list the groups: {listed.errors[0]}")
    return sorted(group.group_id for group in listed.valid)


def _described(admin: AdminClient, group: str) -> tuple[str, list[Member]]:
    def ask() -> Any:
        futures = admin.describe_consumer_groups([group], request_timeout=REQUEST_TIMEOUT_S)
        return futures[group].result()

    description = _patiently(ask, f"describe the group {group}")
    members = [
        Member(
            member.member_id,
            member.client_id,
            member.group_instance_id or None,
            member.host,
            _sources(member.assignment.topic_partitions if member.assignment is not None else ()),
        )
        for member in description.members
    ]
    return description.state.name, members


def _committed(admin: AdminClient, group: str) -> dict[TopicPartition, int]:
    def ask() -> Any:
        request = [ConsumerGroupTopicPartitions(group)]
        futures = admin.list_consumer_group_offsets(request, request_timeout=REQUEST_TIMEOUT_S)
        return futures[group].result()

    found = _patiently(ask, f"read the offsets of {group}").topic_partitions
    return {TopicPartition(p.topic, p.partition): p.offset for p in found if p.offset >= 0}


def _ends(admin: AdminClient, sources: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the end of each partition; one that is gone is left out."""
    requests = {KafkaTopicPartition(s.topic, s.partition): _latest() for s in sorted(sources)}
    if not requests:
        return {}
    ends = {}
    futures = admin.list_offsets(requests, request_timeout=REQUEST_TIMEOUT_S)
    for partition, future in futures.items():
        try:
            ends[TopicPartition(partition.topic, partition.partition)] = future.result().offset
        except KafkaException:
            continue
    return ends


def _latest() -> Any:
    latest: Any = OffsetSpec.latest
    return latest()


def _sources(partitions: Iterable[Any]) -> tuple[TopicPartition, ...]:
    return tuple(sorted(TopicPartition(p.topic, p.partition) for p in partitions))


def _patiently(ask: Any, what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() not in _PASSING or time.monotonic() > deadline:
                raise GroupsFailed(f"cannot {what}: {reason.str()}") from error
            time.sleep(0.2)


# -- the command ---------------------------------------------------------------------------------


def command(
    group: Annotated[list[str] | None, typer.Argument(help="Only these groups.")] = None,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option("--bootstrap-servers", "-b", help="Default: TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show every consumer group: its members, its partitions, and how far behind they are."""
    try:
        settings = ServiceSettings()
        servers = bootstrap_servers or settings.kafka.bootstrap_servers
        groups = read_groups(servers, settings.kafka)
        missing = sorted(set(group or ()) - {found.group for found in groups})
        if missing:
            raise GroupsFailed(f"the broker knows no group {missing[0]}")
    except (GroupsFailed, ValueError) as error:
        raise fail("groups", error) from None
    shown = [found for found in groups if not group or found.group in group]
    if as_json:
        print(json.dumps([as_document(found) for found in shown], indent=2))
    else:
        _show(shown)


def as_document(group: Group) -> dict[str, Any]:
    """Return the group as plain values, with every lag worked out."""
    readings = [{**asdict(reading), "lag": reading.lag} for reading in group.readings]
    members = [
        {**asdict(member), "partitions": [f"{s.topic}[{s.partition}]" for s in member.partitions]}
        for member in group.members
    ]
    return {
        "group": group.group,
        "state": group.state,
        "lag": group.lag,
        "members": members,
        "partitions": readings,
    }


def _show(groups: list[Group]) -> None:
    if not groups:
        print("No consumer group yet.")
        return
    table = Table("group", "state", "topic", "partition", "member", "committed", "end", "lag")
    for number_column in (3, 5, 6, 7):
        table.columns[number_column].justify = "right"
    for group in groups:
        table.add_section()
        table.add_row(
            group.group, group.state, "", "", f"{len(group.members)} members", "", "", str(group.lag)
        )
        for reading in group.readings:
            table.add_row(
                "",
                "",
                reading.topic,
                str(reading.partition),
                reading.member or "nobody",
                _number(reading.committed),
                _number(reading.end),
                _number(reading.lag),
            )
    Console().print(table)


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)
