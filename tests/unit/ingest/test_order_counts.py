"""Unfilled orders: what is counted here, told, heard, and given back."""

from __future__ import annotations

from ingest.order_counts import OrderCounts

S = 1_000_000_000
NOW = 1_700_000_040 * S
ALICE = 1001


def counts() -> OrderCounts:
    return OrderCounts(5, 100)


def values(made: OrderCounts, now_ns: int = NOW) -> list[int]:
    return [count for _, _, count in made.counts(ALICE, now_ns)]


def tell(made: OrderCounts, others: int) -> None:
    """One exchange, after which the others have counted so much more."""
    for change in made.take_changes(NOW):
        made.heard(change, max(change.known + change.delta + others, 0), NOW)


def test_what_is_told_counts_once() -> None:
    made = counts()
    made.add(ALICE, 2, NOW)
    changes = made.take_changes(NOW)
    assert [(c.window, c.delta, c.known) for c in changes] == [("10s", 2, 0), ("1d", 2, 0)]
    assert values(made) == [2, 2]  # under way
    made.add(ALICE, 1, NOW)
    for change in changes:
        made.heard(change, 4, NOW)  # another worker had counted 2
    assert values(made) == [5, 5]
    assert made.over(ALICE, NOW) == ("10 SECOND", 5, 10)
    assert made.over(ALICE, NOW + 9 * S + 1) == ("10 SECOND", 5, 1)
    assert made.over(ALICE, NOW + 10 * S) is None
    assert values(made, NOW + 10 * S) == [0, 5]


def test_what_could_not_be_told_is_told_later() -> None:
    made = counts()
    made.add(ALICE, 2, NOW)
    made.not_told(made.take_changes(NOW), NOW)
    assert values(made) == [2, 2]
    assert [change.delta for change in made.take_changes(NOW)] == [2, 2]
    assert not made.dirty


def test_the_first_fill_of_a_maker_gives_back_and_never_below_nothing() -> None:
    made = counts()
    made.add(ALICE, 3, NOW)
    tell(made, others=4)
    for order_id in (7, 7, 9):
        made.maker_filled(ALICE, "BTCUSDT", order_id, 5)
    changes = made.take_changes(NOW)
    makers = ("BTCUSDT:7", "BTCUSDT:9")
    assert [(c.window, c.delta, c.makers) for c in changes] == [("10s", -5, makers), ("1d", -5, makers)]
    for change in changes:
        made.heard(change, 2, NOW)
    assert values(made) == [2, 2]
    made.maker_filled(ALICE, "BTCUSDT", 8, 5)
    made.give_back_alone(NOW)
    assert values(made) == [0, 0]
    made.add(ALICE, 1, NOW)
    assert values(made) == [1, 1]


def test_many_makers_are_told_in_parts() -> None:
    made = counts()
    for order_id in range(2_500):
        made.maker_filled(ALICE, "BTCUSDT", order_id, 5)
    changes = made.take_changes(NOW)
    assert [len(c.makers) for c in changes] == [1_000, 1_000, 1_000, 1_000, 500, 500]
    assert len({order for c in changes for order in c.makers}) == 2_500


def test_an_answer_for_a_window_that_is_over_changes_nothing() -> None:
    made = counts()
    made.add(ALICE, 2, NOW)
    short, _ = made.take_changes(NOW)
    assert values(made, NOW + 10 * S)[0] == 0
    made.heard(short, 9, NOW + 10 * S)
    assert values(made, NOW + 10 * S)[0] == 0


def test_others_are_asked_when_nothing_was_heard_for_a_while() -> None:
    made = counts()
    assert made.ask(ALICE, NOW)
    tell(made, others=3)
    assert values(made) == [3, 3]
    assert not made.ask(ALICE, NOW + S // 10)
    assert made.ask(ALICE, NOW + S)
