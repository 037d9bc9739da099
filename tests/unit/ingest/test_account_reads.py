"""When a read is not behind what the account has seen, and which rows a page asks for."""

from __future__ import annotations

import pytest

from ingest.account_reads import Page, reached
from ingest.reply_desk import Seen


@pytest.mark.parametrize(
    ("settled", "seen", "expected"),
    [
        (None, {}, True),
        ({}, {"A": (1, 0)}, False),
        (None, {"A": (1, 0)}, False),
        ({"A": [5, 2]}, {"A": (5, 2)}, True),
        ({"A": [4, 2]}, {"A": (5, 2)}, False),
        ({"A": [5, 1]}, {"A": (5, 2)}, False),
        ({"A": [9, 9], "B": [1, 1]}, {"A": (5, 2), "B": (1, 1)}, True),
        ({"A": [9, 9]}, {"A": (5, 2), "B": (1, 1)}, False),
    ],
)
def test_settlement_must_have_reached_every_symbol(
    settled: dict[str, list[int]] | None, seen: Seen, expected: bool
) -> None:
    assert reached(settled, seen) is expected


def test_a_page_without_a_start_is_the_newest_rows() -> None:
    assert Page(limit=5).newest_first
    assert Page(limit=5, end_ms=9).newest_first
    assert not Page(limit=5, from_id=1).newest_first
    assert not Page(limit=5, start_ms=1).newest_first


def test_bounds_are_inclusive_to_the_millisecond() -> None:
    condition, values = Page(limit=5, from_id=3, start_ms=7, end_ms=7).conditions("n", "t")
    assert condition == " AND n >= %(from_id)s AND t >= %(start)s AND t < %(end)s"
    assert values == {"from_id": 3, "start": 7_000_000, "end": 8_000_000}
