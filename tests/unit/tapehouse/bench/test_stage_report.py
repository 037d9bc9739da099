"""Tables of the pipeline's figures."""

from __future__ import annotations

from typing import Any

from tapehouse.bench.pipeline import Figures
from tapehouse.bench.stage_report import cost, scale_lines, stage_lines


def run(instances: int, matcher: float, kafka: float = 50.0) -> dict[str, Any]:
    each = {f"matcher-{n}": matcher / instances / 1e6 * 1_000 for n in range(instances)}
    used = {**each, "kafka": kafka / 1e3, "generator": 0.2}
    share = {"instance_share": {"matcher": [100.0 / instances] * instances}}
    return Figures("pipeline", instances, 1_000, 500, 0.5, used, share).document()


def test_instances_of_one_service_are_one_cost() -> None:
    found = run(4, 20.0)
    assert found["cpu_us_per_order"] == {"matcher": 20.0, "kafka": 50.0, "generator": 200.0}
    assert (found["orders_per_s"], found["trades_per_s"]) == (2_000, 1_000)


def test_scale_names_what_grew_by_more_than_a_tenth() -> None:
    lines = scale_lines([run(1, 20.0), run(2, 21.0), run(4, 30.0), run(4, 32.0), run(4, 20.0)])
    assert lines[0].split()[-3:] == ["1", "2", "4"]
    [matcher] = [line for line in lines if line.startswith("matcher")]
    assert matcher.split() == ["matcher", "20.0", "21.0", "30.0", "+50%", "more", "than", "10", "%"]
    [kafka] = [line for line in lines if line.startswith("kafka")]
    assert "more" not in kafka
    assert "share of each of 2, percent: matcher 50/50" in lines


def test_whole_cost_leaves_the_benchmark_itself_out() -> None:
    assert cost([run(1, 20.0)], 1, "all") == 70.0


def test_stage_tells_what_one_processor_carries() -> None:
    alone = Figures("recorder", 1, 1_000, 0, 1.0, {"recorder-0": 0.04}, {}).document()
    assert stage_lines([alone])[-1] == "  one processor of recorder carries 25,000 orders/s"
