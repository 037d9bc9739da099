"""Who may do what with which topic, from the owners in `topics.yaml`: a pure derivation.

One principal for each service, named as the owner is. It may read every topic, write the topics it
owns and `dead-letters`, and use the consumer groups of its name. Nobody else may do anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.topics import TopicMap

SERVICES: Final = ("ingest", "processor", "matcher", "recorder", "market_data")
OPERATOR: Final = "operator"
"""Whoever runs `tapehouse topics` and the tools: a superuser of the broker."""
EVERYBODY: Final = "any service"
_GROUPS: Final = {
    "ingest": ("ingest", "user-data"),
    "market_data": ("market-data",),
}


class Resource(StrEnum):
    TOPIC = "topic"
    GROUP = "group"


class Operation(StrEnum):
    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, order=True)
class Rule:
    """Allow the operation; whoever may read or write may describe, too. A group is a prefix."""

    principal: str
    resource: Resource
    name: str
    operation: Operation


def owners(owner: str) -> tuple[str, ...]:
    """Return the principals that an `owner:` of topics.yaml names."""
    return SERVICES if owner == EVERYBODY else tuple(part.strip() for part in owner.split(","))


def rules(topics: TopicMap) -> list[Rule]:
    """Return everything that is allowed. What is not said here is refused."""
    return sorted(_rules(topics))


def _rules(topics: TopicMap) -> Iterator[Rule]:
    for service in SERVICES:
        for prefix in _GROUPS.get(service, (service,)):
            yield Rule(service, Resource.GROUP, prefix, Operation.READ)
        for topic in topics.topics.values():
            yield Rule(service, Resource.TOPIC, topic.name, Operation.READ)
            if service in owners(topic.owner):
                yield Rule(service, Resource.TOPIC, topic.name, Operation.WRITE)
