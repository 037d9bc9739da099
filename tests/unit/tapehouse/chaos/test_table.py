from __future__ import annotations

from tapehouse.chaos.table import Row, lines, percentile, spread


def test_table_has_a_line_for_each_fault_and_their_sum() -> None:
    rows = [
        Row("F1", "edge dies", 2, 6, 1_000, 12, recoveries_s=[0.5, 0.25, 1.0]),
        Row("F32", "log cut", 1, 0, 500, 0, 1, violations=["F32: lost: order 'a'"]),
    ]
    assert lines(rows) == [
        "fault             rounds  kills  requests  unknown  lost  doubled  recovery p50     max",
        "F1     edge dies       2      6      1000       12     0        0        0.50 s  1.00 s  ok",
        "F32    log cut         1      0       500        0     1        0             -       -  1 WRONG",
        "all                    3      6      1500       12     1        0        0.50 s  1.00 s  1 WRONG",
    ]


def test_percentile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.0, 0.2, 0.5, 0.99, 1.0)] == [1.0, 1.0, 3.0, 5.0, 5.0]
    assert spread([]) is None
    assert spread([2.0]) == {"count": 1, "min": 2.0, "p50": 2.0, "p99": 2.0, "max": 2.0}
