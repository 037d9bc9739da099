from __future__ import annotations

from processor.open_counts import OpenCounts

PAIR = (1004, "BTCUSDT")
LIMITS = {"BTCUSDT": 10}


def test_an_unknown_pair_is_asked_once_and_again_when_the_bound_reaches_the_limit() -> None:
    counts = OpenCounts(lambda pair: LIMITS[pair[1]])
    assert counts.unsure({PAIR: 1}) == [PAIR]
    counts.learn({PAIR: 7})
    assert counts.unsure({PAIR: 3}) == []
    assert counts.unsure({PAIR: 4}) == [PAIR]
    for _ in range(3):
        counts.accepted(PAIR)
    assert counts.of({PAIR: 1}) == {PAIR: 10}
    assert counts.unsure({PAIR: 1}) == [PAIR]
    counts.learn({PAIR: 2})
    assert counts.unsure({PAIR: 1}) == []


def test_a_change_of_partitions_forgets() -> None:
    counts = OpenCounts(lambda pair: LIMITS[pair[1]])
    counts.learn({PAIR: 1})
    counts.forget()
    assert counts.unsure({PAIR: 1}) == [PAIR]
