from __future__ import annotations

from tapehouse.chaos.sightings import Hit, Sightings, View


def test_first_trade_of_an_order_sent_after_the_hit_ends_it() -> None:
    sightings = Sightings()
    hit = sightings.hit(Hit("matcher-0", View.ANSWERS, at_s=100.0, symbols=()))
    sightings.trade(View.ANSWERS, "BTCUSDT", 1001, sent_s=99.9, seen_s=100.2)
    assert sightings.open == (hit,)
    sightings.trade(View.ANSWERS, "BTCUSDT", 1001, sent_s=100.1, seen_s=100.5)
    sightings.trade(View.ANSWERS, "BTCUSDT", 1001, sent_s=100.2, seen_s=100.6)
    assert sightings.open == ()
    assert hit.recovery_s == 0.5


def test_trade_must_be_seen_where_the_hit_took_trades_away() -> None:
    sightings = Sightings()
    sightings.hit(Hit("matcher-0", View.ANSWERS, at_s=1.0, symbols=("ETHBTC",)))
    sightings.hit(Hit("market-data-0", View.STREAM, at_s=1.0, symbols=()))
    sightings.hit(Hit("processor-1", View.ANSWERS, at_s=1.0, symbols=(), account_classes=(3,)))
    sightings.trade(View.ANSWERS, "BTCUSDT", 1000, sent_s=2.0, seen_s=2.5)
    assert len(sightings.open) == 3
    sightings.trade(View.STREAM, "BTCUSDT", None, sent_s=2.0, seen_s=2.5)
    sightings.trade(View.ANSWERS, "ETHBTC", 1000, sent_s=2.0, seen_s=2.5)
    sightings.trade(View.ANSWERS, "BTCUSDT", 1003, sent_s=2.0, seen_s=2.5)
    assert sightings.open == ()


def test_what_never_ended_is_told_apart() -> None:
    sightings = Sightings()
    sightings.hit(Hit("kafka", View.ANSWERS, at_s=1.0, symbols=()))
    lasting = sightings.hit(Hit("recorder-0", View.TABLES, at_s=1.0, symbols=()))
    assert sightings.waits_for(View.TABLES)
    sightings.trade(View.ANSWERS, "BTCUSDT", 1000, sent_s=2.0, seen_s=2.5)
    over, never = sightings.drain()
    assert [hit.name for hit in over] == ["kafka"]
    assert never == [lasting]
    assert sightings.drain() == ([], [])
