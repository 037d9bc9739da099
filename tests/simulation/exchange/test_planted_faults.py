"""The faults of tools/mutate_shells.py still fit the shells, and the simulation finds one of them at once."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tools.mutate_shells import copy_to, judge
from tools.shell_faults import FAULTS, ShellFault


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shells")
    copy_to(folder)
    return folder


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_fault_fits(copied: Path, fault: ShellFault) -> None:
    before = {patch.file: (copied / patch.file).read_text(encoding="utf-8") for patch in fault.patches}
    fault.plant(copied)
    for file, text in before.items():
        path = copied / file
        assert ast.dump(ast.parse(path.read_text(encoding="utf-8"))) != ast.dump(ast.parse(text))
        path.write_text(text, encoding="utf-8")


def test_twelve_faults_at_least_with_names_of_their_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 12


def test_a_planted_fault_is_found() -> None:
    fault = next(fault for fault in FAULTS if fault.name == "a repeated trade is settled twice")
    assert judge(fault, seed=1, minutes=4.0).caught
