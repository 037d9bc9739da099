"""The lock by which a tape keeps the fleet away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tapehouse.demo import quiet
from tapehouse.errors import OperatorError


def test_quiet_is_asked_for_while_the_block_runs(tmp_path: Path) -> None:
    path = tmp_path / "quiet"
    assert not quiet.asked_for(path)
    with quiet.held(path):
        assert quiet.asked_for(path)
        with pytest.raises(OperatorError, match="another tape"), quiet.held(path):
            pass
    assert not quiet.asked_for(path)
