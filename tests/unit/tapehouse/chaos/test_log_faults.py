from __future__ import annotations

import pytest

from tapehouse.chaos.log_faults import damaged


@pytest.mark.parametrize("damage", ["cut short", "changed", "of another symbol"])
def test_damaged_snapshot_is_never_the_one_that_was_written(damage: str) -> None:
    assert damaged(b"snapshot of one", b"snapshot of another", damage) != b"snapshot of one"
    assert damaged(b"snapshot of one", b"snapshot of another", "changed") != b"snapshot of another"
