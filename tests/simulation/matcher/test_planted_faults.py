"""The faults of tools/mutate_matcher.py still fit the engine, so that somebody can run it at any time."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from tools.matcher_faults import FAULTS, Fault, PatchDoesNotFit

ENGINE = Path(__file__).resolve().parents[3] / "matcher"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(ENGINE, tmp_path / "matcher", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return tmp_path


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_fault_fits(copied: Path, fault: Fault) -> None:
    path = copied / "matcher" / fault.file
    before = path.read_text(encoding="utf-8")
    fault.plant(copied)
    after = path.read_text(encoding="utf-8")
    assert ast.dump(ast.parse(after)) != ast.dump(ast.parse(before))


def test_twelve_faults_at_least_with_names_of_their_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 12


def test_a_patch_that_does_not_fit_is_told(copied: Path) -> None:
    fault = Fault("gone", "stops.py", "this text is nowhere", "")
    with pytest.raises(PatchDoesNotFit, match="gone"):
        fault.plant(copied)
