"""What separates a broker's topics from `topics.yaml`: a pure comparison.

Nothing here deletes a topic, shrinks one, or moves replicas; a keyed topic grows only when named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from schemas.topics import Topic, TopicMap

MIN_INSYNC = "min.insync.replicas"
_OPERATIONAL = (".replication.throttled.replicas",)
"""Settings that tools of the broker put on a topic for a while: no drift."""


class Kind(StrEnum):
    CREATE = "create"
    SET = "set"
    RESET = "reset"
    """A setting nobody declared goes back to the broker's default."""
    GROW = "grow"
    REFUSED = "refused"
    """Drift that no command here repairs; `note` says what would."""
    UNDECLARED = "undeclared"
    """A topic that topics.yaml does not know: shown and left alone, no drift."""


@dataclass(frozen=True)
class TopicState:
    """A topic as the broker has it. `overrides` are the settings that were put on the topic itself."""

    partitions: int
    replication: int
    config: Mapping[str, str]
    overrides: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Change:
    topic: str
    kind: Kind
    setting: str
    declared: str
    found: str
    note: str = ""


@dataclass(frozen=True)
class Changes:
    """What differs, in the order of topics.yaml. After `apply`: what was done, and what was refused."""

    items: tuple[Change, ...]

    def of(self, *kinds: Kind) -> tuple[Change, ...]:
        return tuple(c for c in self.items if c.kind in kinds)

    @property
    def drift(self) -> tuple[Change, ...]:
        return tuple(c for c in self.items if c.kind is not Kind.UNDECLARED)

    @property
    def refused(self) -> tuple[Change, ...]:
        return self.of(Kind.REFUSED)


def declared_config(topic: Topic, replication: int) -> dict[str, str]:
    """Return the settings of a topic; the smallest in-sync set follows from the replication."""
    return {MIN_INSYNC: "2" if replication >= 3 else "1", **topic.config}


def compare(
    declared: TopicMap, found: Mapping[str, TopicState], replication: int, grow: Collection[str] = ()
) -> Changes:
    """Return every difference. `grow` names the keyed topics that may get more partitions."""
    items: list[Change] = []
    for topic in declared.topics.values():
        state = found.get(topic.name)
        if state is None:
            size = f"{topic.partitions} x {replication}"
            items.append(Change(topic.name, Kind.CREATE, "partitions x replication", size, "none"))
            continue
        items.extend(_size(topic, state, replication, topic.name in grow))
        items.extend(_config(topic, state, replication))
    for name in sorted(found.keys() - declared.topics.keys()):
        state = found[name]
        size = f"{state.partitions} x {state.replication}"
        items.append(Change(name, Kind.UNDECLARED, "partitions x replication", "none", size))
    return Changes(tuple(items))


def _size(topic: Topic, state: TopicState, replication: int, may_grow: bool) -> Iterator[Change]:
    def change(kind: Kind, setting: str, declared: int, found: int, note: str = "") -> Change:
        return Change(topic.name, kind, setting, str(declared), str(found), note)

    if state.partitions > topic.partitions:
        note = "Kafka cannot take partitions away; correct topics.yaml"
        yield change(Kind.REFUSED, "partitions", topic.partitions, state.partitions, note)
    elif state.partitions < topic.partitions and topic.keyed and not may_grow:
        note = f"growing moves keys: stop the exchange, then --grow {topic.name}"
        yield change(Kind.REFUSED, "partitions", topic.partitions, state.partitions, note)
    elif state.partitions < topic.partitions:
        yield change(Kind.GROW, "partitions", topic.partitions, state.partitions)
    if state.replication != replication:
        note = "move replicas with kafka-reassign-partitions"
        yield change(Kind.REFUSED, "replication", replication, state.replication, note)


def _config(topic: Topic, state: TopicState, replication: int) -> Iterator[Change]:
    declared = declared_config(topic, replication)
    for setting, value in declared.items():
        found = state.config.get(setting, "none")
        if found != value:
            yield Change(topic.name, Kind.SET, setting, value, found)
    for setting in sorted(state.overrides - declared.keys()):
        if not setting.endswith(_OPERATIONAL):
            yield Change(topic.name, Kind.RESET, setting, "default", state.config.get(setting, "none"))
