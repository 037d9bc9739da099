from __future__ import annotations

from processor.decisions import decide
from processor.outbox import Emission, emissions, pack, unpack
from processor.requests import Received
from schemas.instruments import load_instruments
from schemas.topics import load_topics
from tests.builders import NOW_NS, place_order
from tests.unit.processor.test_decisions import VIEW


def test_commands_go_to_their_symbol_and_refusals_to_who_waits() -> None:
    requests = [
        place_order(),
        place_order(reply_partition=9),
        place_order(),
        place_order(client_order_id="c-2", symbol="ETHUSDT", price_ticks=200_000, quantity_lots=1),
    ]
    received = [Received(n % 2, n, request) for n, request in enumerate(requests)]
    outcomes = decide(received, VIEW, load_instruments(), NOW_NS).outcomes
    out = emissions(received, outcomes, load_topics())
    assert [(e.topic, e.partition, e.key) for e in out[0]] == [("validated-orders", 0, b"BTCUSDT")]
    assert [(e.topic, e.partition, e.key) for e in out[1]] == [
        ("order-replies", 9, None),
        ("validated-orders", 1, b"ETHUSDT"),
    ]


def test_a_packed_batch_is_the_same_after_reading() -> None:
    batch = [Emission("a", 1, None, b"\x00\xff"), Emission("b", 2, b"k", b"")]
    assert unpack(pack(batch)) == batch
    assert unpack(None) == []
