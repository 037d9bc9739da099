"""Matcher and standby as processes on a real broker: ended at every failpoint, killed, frozen, taken over."""

from __future__ import annotations

import signal

import pytest
from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient

from matcher import SymbolEngine
from schemas.codec import decoder_for
from schemas.events import PartitionClaimed
from schemas.topics import MATCHER_CLAIMS, VALIDATED_ORDERS
from service_runtime.failpoints import EXIT_KILLED, Failpoint
from tests.integration.matcher.exchange import Exchange, MatcherProcess
from tests.simulation.matcher.test_replay import random_desk
from tests.unit.matcher.orders import Desk
from tests.waiting import until

pytestmark = pytest.mark.long

AT_TAKE_OVER = (
    Failpoint.MATCHER_BEFORE_TAKE_OVER,
    Failpoint.MATCHER_IN_TAKE_OVER,
    Failpoint.MATCHER_AFTER_TAKE_OVER,
)
PLACES = [p for p in Failpoint if p.startswith(("matcher.", "service.")) and p not in AT_TAKE_OVER]
IN_CHILD = Failpoint.MATCHER_IN_SNAPSHOT_CHILD
_decode_claim = decoder_for(PartitionClaimed)


def check(exchange: Exchange, desk: Desk, commands: int) -> None:
    """One history, complete, and byte for byte what an undisturbed replay gives."""
    until(lambda: len(exchange.history("BTCUSDT")) >= commands, f"{commands} records")
    history = exchange.history("BTCUSDT")
    expected = SymbolEngine(desk.instrument).apply(desk.inputs[:commands])
    assert history == [each.record for each in expected]
    until(
        lambda: exchange.last_trade("BTCUSDT") == expected[-1].record.last_trade_id,
        "the last trade",
    )


def claimed(exchange: Exchange, standby: bool) -> bool:
    claims = exchange.values(MATCHER_CLAIMS, "BTCUSDT")
    return bool(claims) and _decode_claim(claims[-1]).standby is standby


def claim_is(exchange: Exchange, standby: bool) -> None:
    until(lambda: claimed(exchange, standby), "a standby's claim" if standby else "the matcher's claim")


def follows(standby: MatcherProcess) -> None:
    until(lambda: standby.told().get("leads", {}).get("0") is False, "the standby to follow")


def deleted(admin: AdminClient, group: str) -> bool:
    """A static member does not leave: its group is empty when its session has ended."""
    try:
        admin.delete_consumer_groups([group])[group].result()
    except KafkaException:
        return False
    return True


# an owner killed before it wrote the hot book leaves ended orders in the sets of their accounts
@pytest.mark.logs_errors("snapshot not encoded", "hot book differs, written anew")
def test_ended_at_each_failpoint_and_started_again(exchange: Exchange) -> None:
    """Each process finds what the one before it left, and 100 commands more."""
    desk, sent = random_desk(21, 100 * len(PLACES)), 0
    for place in PLACES:
        exchange.send(desk, start=sent, end=sent + 100)
        sent += 100
        if place is Failpoint.MATCHER_IN_RECOVERY:  # the newest snapshot may be of the newest record
            leaves_much = exchange.start()
            leaves_much.until_sequence("BTCUSDT", sent)
            leaves_much.kill()
        process = exchange.start(
            TAPEHOUSE_FAILPOINT=f"{place}:1",
            TAPEHOUSE_SNAPSHOT_EVERY_RECORDS="70",
            TAPEHOUSE_SNAPSHOT_FORK_ABOVE="0" if place is IN_CHILD else "1000000",
        )
        if place is IN_CHILD:
            process.until_says("snapshot not encoded")
            process.kill()
        else:
            assert process.popen.wait(60) == EXIT_KILLED, process.log_file.read_text()[-2000:]
        exchange.history("BTCUSDT")
    last = exchange.start()
    last.until_sequence("BTCUSDT", sent)
    check(exchange, desk, sent)
    assert last.stop() == 0


def test_standby_takes_over_from_a_killed_and_from_a_frozen_owner(exchange: Exchange) -> None:
    desk, sent = random_desk(22, 2_000), 1_000
    exchange.send(desk, end=200)
    owner = exchange.start()
    standby = exchange.start("matcher.standby")
    follows(standby)
    claim_is(exchange, standby=False)
    exchange.send(desk, start=200, end=400)
    check(exchange, desk, 400)
    owner.kill()
    exchange.send(desk, start=400, end=600)
    check(exchange, desk, 600)
    claim_is(exchange, standby=True)
    owner = exchange.start()
    claim_is(exchange, standby=False)
    follows(standby)
    owner.popen.send_signal(signal.SIGSTOP)
    exchange.send(desk, start=600, end=800)
    check(exchange, desk, 800)
    claim_is(exchange, standby=True)
    owner.popen.send_signal(signal.SIGCONT)
    exchange.send(desk, start=800, end=sent)

    def claimed_again() -> bool:
        """An owner that is suspected once more, just when it has written everything, hears of it when it
        writes again."""
        nonlocal sent
        assert owner.popen.poll() is None, owner.log_file.read_text()[-2000:]
        if sent < 1_800:
            exchange.send(desk, start=sent, end=sent + 1)
            sent += 1
        return claimed(exchange, standby=False)

    until(claimed_again, "the matcher's claim")
    exchange.send(desk, start=sent, end=sent + 200)
    check(exchange, desk, sent + 200)
    assert (owner.stop(), standby.stop()) == (0, 0)


def test_standby_that_dies_at_the_take_over(exchange: Exchange) -> None:
    desk = random_desk(23, 200)
    exchange.send(desk, end=100)
    owner = exchange.start()
    owner.until_sequence("BTCUSDT", 100)
    owner.kill()
    place = Failpoint.MATCHER_IN_TAKE_OVER
    standby = exchange.start("matcher.standby", TAPEHOUSE_FAILPOINT=f"{place}:1")
    exchange.send(desk, start=100)
    assert standby.popen.wait(60) == EXIT_KILLED, standby.log_file.read_text()[-2000:]
    exchange.history("BTCUSDT")
    exchange.start("matcher.standby")
    check(exchange, desk, 200)


@pytest.mark.logs_errors("start not usable", "service stops on a fault")
def test_lost_group_offsets_change_nothing_and_a_cut_log_is_refused(exchange: Exchange) -> None:
    desk = random_desk(24, 300)
    exchange.send(desk, end=200)
    owner = exchange.start()
    owner.until_sequence("BTCUSDT", 200)
    assert owner.stop() == 0
    admin = AdminClient({"bootstrap.servers": exchange.bootstrap})
    until(lambda: deleted(admin, "matcher"), "the group to be empty")
    exchange.send(desk, start=200)
    owner = exchange.start()
    check(exchange, desk, 300)
    owner.kill()
    cut = KafkaTopicPartition(VALIDATED_ORDERS, 0, 250)
    admin.delete_records([cut])[cut].result()
    refused = exchange.start()
    assert refused.popen.wait(60) == 1
    assert "validated-orders[0]: expected offset" in refused.log_file.read_text()


@pytest.mark.logs_errors("service stops on a fault")
def test_second_matcher_of_the_same_number_ends_the_first(exchange: Exchange) -> None:
    desk = random_desk(25, 300)
    exchange.send(desk, end=100)
    first = exchange.start()
    first.until_sequence("BTCUSDT", 100)
    second = exchange.start()
    exchange.send(desk, start=100)
    assert first.popen.wait(60) == 1
    check(exchange, desk, 300)
    assert second.popen.poll() is None
