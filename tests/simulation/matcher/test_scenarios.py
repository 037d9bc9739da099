"""Every scenario, as the slow model plays it and as the engine does."""

from __future__ import annotations

from pathlib import Path

import pytest

from matcher import Input, SymbolEngine
from matcher.engine_state import restore, snapshot
from schemas.codec import record_hash
from schemas.events import BookEvent
from tests.simulation.matcher.agreement import rows
from tests.simulation.matcher.scenario import FOLDER, Scenario, play, read, write

SCENARIOS = [
    (path, found) for path in sorted(FOLDER.glob("*.txt")) for found in read(path.read_text("utf-8"))
]
NAMES = [f"{path.stem}: {found.name}" for path, found in SCENARIOS]
each = pytest.mark.parametrize(("path", "scenario"), SCENARIOS, ids=NAMES)


def test_names_are_told_apart() -> None:
    assert len(NAMES) > 100
    assert len(set(NAMES)) == len(NAMES)


@each
def test_the_model_plays_the_scenario(path: Path, scenario: Scenario) -> None:
    assert write(play(scenario)[0]) == write(scenario), path


@each
@pytest.mark.parametrize("restored", [False, True], ids=["", "restored after each command"])
def test_the_engine_plays_the_scenario(path: Path, scenario: Scenario, restored: bool) -> None:
    engine, script, told = SymbolEngine(scenario.instrument), scenario.script(), []
    for step in scenario.steps:
        events: list[BookEvent] = []
        for command in script.read(step.command):
            (matched,) = engine.apply([Input(0, command.source_offset, command)])
            events += matched.record.events
            if restored:
                taken, engine = snapshot(engine, 0), SymbolEngine(scenario.instrument)
                restore(engine, taken)
        told.append((step.command, step.told(events)))
    assert told == [(step.command, step.events) for step in scenario.steps], path
    assert engine.book_hash() == record_hash(rows(play(scenario)[1]))
