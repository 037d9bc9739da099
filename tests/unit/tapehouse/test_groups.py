"""What a group's table is made of."""

from __future__ import annotations

from service_runtime.event_log import TopicPartition
from tapehouse.groups import Member, Reading, as_document, assemble

A0, A1, B0 = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)


def member(name: str, *sources: TopicPartition) -> Member:
    return Member(f"{name}-1234", "client", name, "/127.0.0.1", sources)


def test_every_partition_of_member_or_offset_is_a_row() -> None:
    group = assemble("g", "STABLE", [member("m0", A0, A1)], {A0: 7, B0: 3}, {A0: 10, A1: 5, B0: 3})
    assert group.readings == (
        Reading("a", 0, "m0", 7, 10),
        Reading("a", 1, "m0", None, 5),
        Reading("b", 0, None, 3, 3),
    )
    assert [reading.lag for reading in group.readings] == [3, None, 0]
    assert (group.state, group.lag) == ("stable", 3)


def test_empty_group_keeps_its_lag() -> None:
    group = assemble("g", "EMPTY", [], {A0: 1}, {A0: 4})
    assert (group.members, group.lag) == ((), 3)


def test_rebalancing_members_without_partitions_are_shown() -> None:
    group = assemble("g", "PREPARING_REBALANCING", [member("m1"), member("m0")], {A0: 4}, {A0: 4})
    assert [m.name for m in group.members] == ["m0", "m1"]
    assert group.readings[0].member is None


def test_topic_that_is_gone_has_no_lag() -> None:
    assert assemble("g", "STABLE", [], {A0: 4}, {}).readings[0].lag is None


def test_document_is_plain_and_has_every_lag() -> None:
    document = as_document(assemble("g", "STABLE", [member("m0", A0)], {A0: 4}, {A0: 9}))
    assert document["lag"] == 5
    assert document["partitions"] == [
        {"topic": "a", "partition": 0, "member": "m0", "committed": 4, "end": 9, "lag": 5}
    ]
    assert document["members"][0]["partitions"] == ["a[0]"]
