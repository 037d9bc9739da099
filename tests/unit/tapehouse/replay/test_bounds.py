"""Offsets and times as an analyst writes them."""

from __future__ import annotations

import pytest

from tapehouse.replay.bounds import Bound, InvalidBound, parse_bound


@pytest.mark.parametrize(
    ("texts", "bound"),
    [
        ([], Bound()),
        (["0"], Bound(offset=0)),
        (["1200"], Bound(offset=1200)),
        (["99999999999"], Bound(offset=99_999_999_999)),
        (["100000000000"], Bound(time_ms=100_000_000_000)),
        (["1610064000278"], Bound(time_ms=1_610_064_000_278)),
        (["2021-01-08T00:00:00.278Z"], Bound(time_ms=1_610_064_000_278)),
        (["2021-01-08T01:00:00.278+01:00"], Bound(time_ms=1_610_064_000_278)),
        (["2021-01-08T00:00:00"], Bound(time_ms=1_610_064_000_000)),
        (["2021-01-08"], Bound(time_ms=1_610_064_000_000)),
        (["2:7", "0:5"], Bound(partition_offsets=((0, 5), (2, 7)))),
        (["9", "2:7"], Bound(offset=9, partition_offsets=((2, 7),))),
    ],
)
def test_text_names_one_place(texts: list[str], bound: Bound) -> None:
    assert parse_bound("--from", texts) == bound


@pytest.mark.parametrize(
    "texts",
    [["yesterday"], ["-5"], [""], ["1", "2"], ["2021-01-08", "0:1"], ["0:1", "2021-01-08"], ["x:1"], ["٣"]],
)
def test_anything_else_is_refused_by_name(texts: list[str]) -> None:
    with pytest.raises(InvalidBound, match="--to"):
        parse_bound("--to", texts)


def test_offset_of_one_partition_wins_over_that_of_all() -> None:
    bound = parse_bound("--from", ["9", "2:7"])
    assert [bound.offset_of(partition) for partition in (1, 2)] == [9, 7]
