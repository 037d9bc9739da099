"""Figures for people and machines, and the search for the highest rate."""

from __future__ import annotations

import json

import pytest

from tapehouse.bench.latency import Latencies, draw
from tapehouse.bench.report import RateSearch, Run, spread, spread_lines
from tapehouse.bench.shots import Tally


def latencies(*milliseconds: float) -> Latencies:
    found = Latencies()
    for value in milliseconds:
        found.record_s(value / 1000)
    return found


def run(**values: object) -> Run:
    tally = Tally(
        due=14,
        sent=12,
        answered=10,
        accepted=9,
        refused={"503": 1},
        trades=4,
        answer=latencies(*range(1, 101)),
        trade=latencies(7),
        lateness=latencies(0.1),
        unseen_trades=1,
        span_s=3.0,
    )
    cpu_s = {"kafka": 0.001, "generator": 0.0005}
    return Run(500, 2, 1, 4, ("BTCUSDT",), tally, cpu_s, window_s=0.5, **values)  # type: ignore[arg-type]


def test_percentiles_are_milliseconds() -> None:
    summary = latencies(*range(1, 1001)).summary_ms()
    assert summary["p50"] == pytest.approx(500, rel=0.01)
    assert summary["p99"] == pytest.approx(990, rel=0.01)
    assert summary["max"] == pytest.approx(1000, rel=0.01)
    assert Latencies().summary_ms() == {}


def test_value_beyond_the_scale_counts_as_its_end() -> None:
    assert latencies(500_000).summary_ms()["max"] == pytest.approx(120_000, rel=0.01)


def test_bars_show_every_range_between_first_and_last() -> None:
    lines = latencies(0.5, 0.5, 9, 9, 9, 9, 99_999).bars()
    assert lines[0].startswith("<=     1 ms        2  28.57 % " + "#" * 20)
    assert lines[1].split()[:4] == ["<=", "2", "ms", "0"]
    assert lines[-1].startswith(">  10000 ms        1")
    assert sum(int(line.split()[3]) for line in lines) == 7
    assert draw([0, 0]) == []


def test_document_is_json_and_counts_processor_time_per_answered_order() -> None:
    document = json.loads(json.dumps(run().document()))
    assert document["cpu_us_per_order"] == {"kafka": 100.0, "generator": 50.0}
    assert document["cpu_us_per_order_total"] == 150.0
    assert document["processors_used"] == 0.003  # of the window: late answers cost time too
    assert [document[name] for name in ("due", "sent", "answered", "accepted")] == [14, 12, 10, 9]
    assert document["refused"] == {"503": 1}
    assert document["carried_per_s"] == 3.0


def test_lines_say_what_was_refused_and_what_the_audit_found() -> None:
    text = "\n".join(run(audit={"clean": False, "text": "I4: trade 3"}).lines())
    assert "refused 1: 503" in text
    assert "never left 2 of 14" in text
    assert "audit: DIFFERS I4: trade 3" in text
    assert "kafka" in text


def test_spread_is_min_median_and_max_over_runs() -> None:
    documents = [
        {
            "answer_ms": {"p50": value},
            "trade_ms": {},
            "cpu_us_per_order": {"kafka": 10 * value},
            "carried_per_s": 100 * value,
            "cpu_us_per_order_total": 20 * value,
        }
        for value in (3.0, 1.0, 2.0)
    ]
    found = spread(documents)
    assert found["answer_ms"] == {"p50": {"min": 1.0, "median": 2.0, "max": 3.0}}
    assert found["cpu_us_per_order"] == {"kafka": {"min": 10.0, "median": 20.0, "max": 30.0}}
    assert found["all"]["carried_per_s"] == {"min": 100.0, "median": 200.0, "max": 300.0}
    assert set(found) == {"answer_ms", "cpu_us_per_order", "all"}
    assert "carried_per_s           100.00 / 200.00 / 300.00" in "\n".join(spread_lines(found))


def test_a_closed_loop_is_named_by_what_was_under_way() -> None:
    assert run(concurrency=16).lines()[0].startswith("16 orders under way by HTTP for 2 s")
    assert run().lines()[0].startswith("500 orders/s by HTTP")


@pytest.mark.parametrize("limit", [30, 480, 500, 777, 3_000])
def test_search_ends_just_below_the_limit(limit: int) -> None:
    search, tried = RateSearch(500), 0
    while search.rate is not None:
        search.tell(held=search.rate <= limit)
        tried += 1
    assert search.held is not None
    assert limit * 0.85 <= search.held <= limit
    assert tried < 20


def test_search_that_never_holds_ends() -> None:
    search = RateSearch(500)
    while search.rate is not None:
        search.tell(held=False)
    assert search.held is None
