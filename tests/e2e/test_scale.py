"""Two instances of each service share the work; one of each is killed while orders come in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tapehouse.groups import read_groups
from tests.e2e.kills import kill_while_trading
from tests.e2e.live_exchange import LiveExchange, running
from tests.waiting import until

SCALED = ("processor", "matcher", "recorder", "ingest")
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def scaled_exchange() -> Iterator[LiveExchange]:
    limits = '{"request_weight_1m":1000000,"raw_requests_5m":1000000,"orders_10s":100000}'
    scale = ",".join(f"{service}=2" for service in SCALED)
    with running("--scale", scale, TAPEHOUSE_LIMITS=limits) as exchange:
        yield exchange


def test_instances_share_the_partitions(scaled_exchange: LiveExchange) -> None:
    def shared() -> bool:
        groups = {
            group.group: group for group in read_groups(scaled_exchange.settings.kafka.bootstrap_servers)
        }
        return (
            all(
                len([m for m in groups[service].members if m.partitions]) == 2
                for service in SCALED[:3]
                if service in groups
            )
            and set(SCALED[:3]) <= groups.keys()
        )

    until(shared, "two members with partitions in each group")


def test_nothing_is_lost_when_one_of_each_is_killed_while_trading(
    scaled_exchange: LiveExchange, tmp_path: Path
) -> None:
    kill_while_trading(scaled_exchange, SCALED, 120, tmp_path / "journal.jsonl", "scale")
