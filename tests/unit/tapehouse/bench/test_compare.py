"""Ratios of two sets of figures."""

from __future__ import annotations

from tapehouse.bench.compare import figures, lines, ratios

BEFORE = {
    "runs": [
        {"rate": 500, "seconds": 3, "cpu_us_per_order": {"kafka": cost}, "answer_ms": {"p50": 2.0 * cost}}
        for cost in (30.0, 10.0, 20.0)
    ],
    "alone": [{"name": "matcher", "orders_per_s": 100}, {"name": "recorder", "orders_per_s": 50}],
}


def test_runs_are_one_figure_by_their_median_and_wishes_are_none() -> None:
    assert figures(BEFORE) == {
        "runs.cpu_us_per_order.kafka": 20.0,
        "runs.answer_ms.p50": 40.0,
        "alone.matcher.orders_per_s": 100.0,
        "alone.recorder.orders_per_s": 50.0,
    }


def test_instances_are_told_apart() -> None:
    runs = [{"name": "pipeline", "instances": n, "orders_per_s": 10 * n} for n in (1, 2, 2)]
    assert figures({"runs": runs}) == {
        "runs.pipeline-1.orders_per_s": 10.0,
        "runs.pipeline-2.orders_per_s": 20.0,
    }


def test_ratio_is_of_what_both_have() -> None:
    after = {"runs": [{"cpu_us_per_order": {"kafka": 10.0, "valkey": 1.0}}]}
    [one] = ratios(BEFORE, after)
    assert (one.name, one.before, one.after, one.ratio) == ("runs.cpu_us_per_order.kafka", 20.0, 10.0, 0.5)
    assert lines([one])[1].split() == ["runs.cpu_us_per_order.kafka", "20.0", "10.0", "0.50", "<"]


def test_nothing_before_has_no_ratio() -> None:
    zero = {"cpu_us": {"a": 0.0}}
    assert lines(ratios(zero, {"cpu_us": {"a": 5.0}}))[1].split() == ["cpu_us.a", "0.0", "5.0", "-"]
    assert lines(ratios(zero, {})) == ["The two have no figure in common."]
