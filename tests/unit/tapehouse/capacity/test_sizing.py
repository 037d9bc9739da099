"""What a rate needs: held against the costs it is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import LEG_STRIDE, MATCHED_EVENTS, ORDER_REPLIES, ORDER_REQUESTS
from tapehouse.capacity.costs import Costs, load
from tapehouse.capacity.sizing import MOST_BUSY, Demand, Impossible, plan

COSTS = Costs(
    measured_on="2026-01-01",
    machine="a machine",
    how="by hand",
    cpu_us_per_order={
        "ingest": 100.0,
        "processor": 50.0,
        "matcher": 25.0,
        "recorder": 40.0,
        "market-data": 20.0,
        "user-data": 4.0,
        "kafka": 60.0,
        "postgres": 80.0,
        "valkey": 10.0,
    },
    log_bytes_per_order={ORDER_REQUESTS: 200.0, MATCHED_EVENTS: 300.0},
    postgres_bytes_per_order=1_000.0,
    wal_bytes_per_order=2_000.0,
    answer_p99_ms=40.0,
    candle_us_per_bar=166.0,
)


def of(rate: float, symbols: int = 400, p99_ms: float = 100.0, **more: float) -> Demand:
    return Demand(rate, symbols, p99_ms, **more)  # type: ignore[arg-type]


def test_arithmetic_by_hand() -> None:
    found = plan(of(10_000), COSTS)
    assert found.busy == 0.6  # 1 - 40/100
    # 10,000/s x 100 us = 1 processor; / 0.6 = 1.67
    assert found.instances["ingest"] == 2
    assert found.instances["processor"] == 1  # 0.83
    assert found.partitions[ORDER_REQUESTS] == 4
    assert found.value("broker processors") == 3  # 10,000 x 60 us x 3 = 1.8; / 0.6
    assert found.value("brokers") == 3
    assert found.value("brokers read from producers") == 5.0  # 500 bytes
    assert found.value("between brokers") == 10.0
    # requests are read once; matched events by recorder, bars, user-data: 200 + 3 x 300 bytes
    assert found.value("brokers send to readers") == 11.0
    assert found.value("log of a day") == pytest.approx(10_000 * 500 * 86_400 * 3 / 1e12)
    assert found.value("write-ahead log") == 20.0
    assert found.value("one symbol carries") == 24_000  # 600,000 us / 25 us
    assert not found.limits


def test_candles_cost_what_symbols_cost_whatever_the_rate() -> None:
    # 2,000 x 4 bars/s x 166 us = 1.33 processors; / 0.6 = 2.2
    assert plan(of(500, symbols=2_000), COSTS).instances["candles"] == 3
    assert plan(of(500_000, symbols=2_000), COSTS).instances["candles"] == 3


def test_more_market_data_servers_read_matched_events_more_often() -> None:
    assert plan(of(50_000), COSTS).instances["market-data"] == 2
    sent = plan(of(50_000), COSTS).value("brokers send to readers")
    assert sent == pytest.approx(50_000 * (200 + 4 * 300) / 1e6)


@given(
    rate=st.floats(1, 5_000_000),
    symbols=st.integers(1, 2_000),
    p99=st.floats(41, 1_000),
    hottest=st.floats(0.001, 1),
)
def test_every_plan_holds_together(rate: float, symbols: int, p99: float, hottest: float) -> None:
    found = plan(of(rate, symbols, p99, hottest=hottest), COSTS)
    assert 0 < found.busy <= MOST_BUSY
    assert found.partitions[ORDER_REQUESTS] >= found.instances["processor"]
    assert found.partitions[ORDER_REQUESTS] <= LEG_STRIDE
    assert found.partitions[MATCHED_EVENTS] >= found.instances["matcher"]
    assert found.partitions[ORDER_REPLIES] >= found.instances["ingest"]
    assert all(line.value >= 0 and line.arithmetic for line in found.lines)
    if not found.limits:
        for name, instances in found.instances.items():
            if name == "candles":  # of bars, not of orders
                continue
            assert instances * found.busy * 1e6 >= rate * COSTS.cpu_us_per_order[name] * (1 - 1e-6)


@given(rate=st.floats(1, 500_000), symbols=st.integers(1, 2_000))
def test_twice_the_rate_needs_no_less_of_anything_and_twice_of_what_flows(rate: float, symbols: int) -> None:
    one, two = plan(of(rate, symbols), COSTS), plan(of(2 * rate, symbols), COSTS)
    for before, after in zip(one.lines, two.lines, strict=True):
        if before.what != "network of one broker":  # which more brokers share
            assert after.value >= before.value, before.what
    for flow in ("brokers read from producers", "between brokers", "log of a day", "write-ahead log"):
        assert two.value(flow) == pytest.approx(2 * one.value(flow))
    assert len(two.limits) >= len(one.limits)


def test_tighter_p99_needs_more_and_one_below_the_idle_answer_cannot_be() -> None:
    assert (
        plan(of(50_000, p99_ms=50), COSTS).instances["ingest"] > plan(of(50_000), COSTS).instances["ingest"]
    )
    assert plan(of(1, p99_ms=1_000), COSTS).busy == MOST_BUSY
    with pytest.raises(Impossible, match="40 ms when the machines are idle"):
        plan(of(1, p99_ms=40), COSTS)


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 0.0}, {"rate": 1, "symbols": 0}, {"rate": 1, "hottest": 0.0}, {"rate": 1, "replication": 0}],
)
def test_impossible_demands_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Impossible):
        plan(of(**wrong), COSTS)  # type: ignore[arg-type]


def test_what_no_size_helps_is_said() -> None:
    limits = "\n".join(plan(of(1_000_000, symbols=10), COSTS).limits)
    assert "the busiest symbol gets 100,000 orders/s, one matcher carries 24,000" in limits
    assert "matcher: 42 instances are needed, 10 can have work" in limits
    assert "3 databases are needed and the exchange has one" in limits
    assert "17 Valkey servers" in limits
    assert "one follows 30,000 orders/s" in limits
    assert "user-data is one process today; 7 would be needed" in limits


def test_shipped_costs_are_whole_and_plan_every_rate() -> None:
    costs = load()
    for rate in (500, 5_000, 50_000, 1_000_000):
        found = plan(of(rate, p99_ms=2 * costs.answer_p99_ms), costs)
        assert found.busy == 0.5
