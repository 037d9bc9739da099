"""The audit of processor, matcher and recorder: clean after random streams, and able to find each fault."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
import redis

from schemas.codec import encode
from schemas.hot_book import key
from schemas.orders import OrderType, Side, TimeInForce
from service_runtime.memory_log import MemoryEventLog
from tapehouse.audit.audit import Options, Report, audit
from tapehouse.audit.command import as_document, lines
from tapehouse.audit.difference import NotSettled
from tests.builders import (
    ALICE,
    BOB,
    cancel_all_orders,
    cancel_order,
    market_order,
    place_order,
    trade_executed,
)
from tests.integration.ledger_world import World

SYMBOLS = ("BTCUSDT", "ETHUSDT", "ETHBTC")
PRICES = {"BTCUSDT": 3_000_000, "ETHUSDT": 200_000, "ETHBTC": 6_000}


def _audit(world: World, wait_s: float = 0.5, journal: Path | None = None) -> Report:
    return audit(world.settings(), MemoryEventLog(world.broker), Options(wait_s, journal))


def _random_request(rnd: random.Random, n: int) -> object:
    symbol, account_id = rnd.choice(SYMBOLS), rnd.choice((ALICE, BOB))
    named = {"symbol": symbol, "account_id": account_id, "client_order_id": f"c-{n}"}
    kind = rnd.random()
    if kind < 0.08:
        return cancel_all_orders(**named)
    if kind < 0.25:
        return cancel_order(**named, orig_client_order_id=f"c-{rnd.randrange(max(n, 1))}")
    named["side"] = rnd.choice((Side.BUY, Side.SELL))
    if kind < 0.4:
        by_quote = rnd.random() < 0.5
        amount = rnd.randint(1_000_000, 5_000_000_000)
        lots = rnd.randint(1, 500)
        return market_order(
            **named,
            quantity_lots=None if by_quote else lots,
            quote_quantity_minor=amount if by_quote else None,
        )
    maker = rnd.random() < 0.2
    return place_order(
        **named,
        order_type=OrderType.LIMIT_MAKER if maker else OrderType.LIMIT,
        time_in_force=TimeInForce.GTC if maker else rnd.choice(list(TimeInForce)),
        price_ticks=PRICES[symbol] + rnd.randint(-40, 40),
        quantity_lots=rnd.randint(1, 500),
    )


def _trade_at_random(world: World, seed: int, steps: int = 12) -> None:
    """Drive all three services in a random order over a random stream."""
    rnd = random.Random(seed)
    world.fund(USDT=20_000_000_000_000, BTC=100_000_000, ETH=1_000_000_000)
    services = [world.processor().start(), world.matcher().start(), world.recorder().start()]
    n = 0
    for _ in range(steps):
        for _ in range(rnd.randint(1, 40)):
            world.request(_random_request(rnd, n))
            n += 1
        rnd.choice(services).drain(max_batch=rnd.choice((3, 50, 500)))
    for service in services:
        service.drain()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_stream_leaves_nothing_to_find(world: World, seed: int) -> None:
    _trade_at_random(world, seed)
    world.assert_conserved()
    report = _audit(world)
    assert report.difference is None
    assert world.rows("SELECT count(*) > 20 FROM trades") == [(True,)]
    assert "not compared" not in report.verdicts["I6"]
    assert sorted(report.verdicts) == ["I1", "I2", "I3", "I4", "I5", "I6", "I9"]
    assert as_document(report)["ok"] is True


def test_the_audit_holds_while_the_services_are_at_different_places(world: World) -> None:
    _trade_at_random(world, 4, steps=4)
    processor, matcher = world.processor().start(), world.matcher().start()
    rnd = random.Random(9)
    for n in range(1_000, 1_060):
        world.request(_random_request(rnd, n))
    processor.drain()
    matcher.drain()  # the recorder has not seen this
    with pytest.raises(NotSettled, match="is the service running"):
        _audit(world, wait_s=0.2)
    recorder = world.recorder().start()
    recorder.deliver(recorder.log.poll(7, 0))
    with pytest.raises(NotSettled):
        _audit(world, wait_s=0)


@pytest.mark.parametrize(
    ("statement", "invariant", "text"),
    [
        ("UPDATE wallets SET available = available + 1 WHERE account_id = 1004", "I1", "wallets"),
        (
            "UPDATE ledger SET available_delta = available_delta + 1 WHERE source = 'T' AND leg = 0",
            "I2",
            "ledger",
        ),
        ("UPDATE orders SET executed_lots = executed_lots + 1 WHERE ended = 'FILLED'", "I3", "orders"),
        ("UPDATE orders SET ended = NULL WHERE ended = 'CANCELED'", "I3", "orders"),
        ("DELETE FROM orders WHERE ended = 'EXPIRED'", "I3", "orders"),
        ("DELETE FROM trades WHERE trade_id = 2", "I4", "2 is missing"),
        ("UPDATE trades SET price_ticks = price_ticks + 1 WHERE trade_id = 1", "I4", "trades"),
        (
            "INSERT INTO trades SELECT (jsonb_populate_record(t, '{\"trade_id\": 999999}')).*"
            " FROM trades t LIMIT 1",
            "I4",
            "trades",
        ),
        ("UPDATE ledger SET reference = 999999 WHERE source = 'T' AND source_offset = 0", "I4", "ledger"),
    ],
)
def test_a_row_that_was_changed_is_found(world: World, statement: str, invariant: str, text: str) -> None:
    _trade_at_random(world, 5)
    world.execute(statement)
    report = _audit(world)
    assert report.difference is not None
    assert report.difference.invariant == invariant
    assert text in str(report.difference)
    assert any("DIFFERS" in line for line in lines(report))


def test_a_hot_book_that_was_changed_is_found(world: World) -> None:
    _trade_at_random(world, 6)
    with redis.Redis.from_url(world.redis_url) as client:
        client.hset(key("BTCUSDT", "bid_lots"), "77", 1_000_000)
        report = _audit(world)
        assert report.difference is not None
        assert report.difference.invariant == "I6"
        assert "BUY level 77 has 1000000 lots, matched-events says 0" in str(report.difference)
        client.flushdb()
    report = _audit(world)
    assert report.clean
    assert "no hot book" in report.verdicts["I6"]


def test_a_gap_in_a_topic_is_found(world: World) -> None:
    _trade_at_random(world, 7)
    world.trade(trade_executed(trade_id=10**6))
    world.execute(
        "UPDATE positions SET next_offset = next_offset + 1 WHERE topic = 'trade-execution' AND partition = 0"
    )
    report = _audit(world)
    assert report.difference is not None
    assert report.difference.invariant == "I5"
    assert "trade-execution[0]" in str(report.difference)


def test_what_clients_were_told_is_held_against_orders(world: World, tmp_path: Path) -> None:
    _trade_at_random(world, 8)
    told = [
        {"client_order_id": c, "account_id": a, "symbol": s, "order_id": i, "status_code": 200}
        for i, a, s, c in world.rows("SELECT order_id, account_id, symbol, client_order_id FROM orders")
    ]
    file = tmp_path / "journal.jsonl"
    file.write_bytes(
        b"\n".join(
            msgspec.json.encode(t) for t in [*told, {**told[0], "client_order_id": "no", "status_code": 400}]
        )
        + b"\n"
    )
    report = _audit(world, journal=file)
    assert report.clean
    assert f"{len(told)} acknowledged" in report.verdicts["I3"]
    with file.open("ab") as more:
        more.write(msgspec.json.encode({**told[0], "client_order_id": "lost", "order_id": 12345}) + b"\n")
    report = _audit(world, journal=file)
    assert report.difference is not None
    assert "'lost' was acknowledged as 12345" in str(report.difference)


def test_repeated_records_and_garbage_are_no_difference(world: World) -> None:
    _trade_at_random(world, 10)
    for source, kept in list(world.broker.records.items()):
        if source.topic in ("matched-events", "trade-execution", "validated-orders"):
            for record in list(kept)[-5:]:
                world.broker.write(record.topic, record.partition, record.value)
    world.matcher().drain()
    world.broker.write("matched-events", 0, b"garbage")
    world.broker.write("trade-execution", 1, encode(trade_executed()))
    world.recorder().drain()
    report = _audit(world)
    assert report.difference is None
    assert "1 unreadable" in report.verdicts["I5"]


def test_lost_answers_are_found_accepted_rejected_or_never_seen(world: World, tmp_path: Path) -> None:
    world.fund(USDT=3_000_000_000)
    offset = world.request(place_order(client_order_id="there", quantity_lots=1_000))
    world.request(place_order(client_order_id="poor", quantity_lots=1_000))
    world.processor().drain()
    world.matcher().drain()
    world.recorder().drain()
    file = tmp_path / "journal.jsonl"

    def audited(*rows: tuple[str, int]) -> Report:
        told = [
            {"client_order_id": c, "account_id": ALICE, "symbol": "BTCUSDT", "status_code": status}
            for c, status in rows
        ]
        file.write_bytes(b"\n".join(map(msgspec.json.encode, told)))
        return _audit(world, journal=file)

    report = audited(("there", 0), ("poor", 504), ("gone", 503), ("poor", 0))
    assert report.verdicts["I11"] == "0 acknowledged, 3 unknown: 1 accepted, 1 rejected, 1 never seen"
    assert audited(("there", 0), ("there", 400)).clean  # a retry of what was accepted
    report = audited(("there", 400))
    assert "was refused, and made order" in str(report.difference)
    world.execute("DELETE FROM rejections")
    report = audited(("poor", 0))
    assert f"order-requests[0] offset {offset + 1} is neither" in str(report.difference)
    assert report.difference is not None
    assert report.difference.invariant == "I11"


def test_an_order_that_a_retry_doubled_is_found(world: World, tmp_path: Path) -> None:
    world.fund(USDT=30_000_000_000)
    services = (world.processor(), world.matcher(), world.recorder())
    for quantity in (10, 20):  # other terms: not the same order once more
        world.request(place_order(client_order_id="twice", quantity_lots=quantity))
        world.request(cancel_order(client_order_id=f"c-{quantity}", orig_client_order_id="twice"))
        for service in services:
            service.drain()
    file = tmp_path / "journal.jsonl"
    told = {"client_order_id": "twice", "account_id": ALICE, "symbol": "BTCUSDT", "status_code": 0}
    file.write_bytes(msgspec.json.encode(told))
    assert "made 2 orders" in str(_audit(world, journal=file).difference)
