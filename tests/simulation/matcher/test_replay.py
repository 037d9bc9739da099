"""The same commands give the same bytes: from a snapshot at any cut, in any batches, in any process."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys

import pytest

from matcher import Input, SymbolEngine
from matcher.engine_state import restore, snapshot
from schemas.instruments import load_instruments
from tests.simulation.matcher.naive.matcher import NaiveMatcher
from tests.simulation.matcher.trader import MARKETPLACES, Trader
from tests.unit.matcher.orders import Desk


def random_desk(seed: int, steps: int, symbol: str = "BTCUSDT") -> Desk:
    """Send `steps` random commands of every kind; the slow model goes along, so that most make sense."""
    instrument = load_instruments()[symbol]
    desk, model = Desk(instrument), NaiveMatcher(instrument)
    trader = Trader(model, random.Random(seed), duplicates=False)
    for offset in range(steps):
        command = trader.next()
        model.apply(command, 0, offset)
        desk.send(command)
    return desk


def random_inputs(place: str, seed: int, steps: int) -> list[Input]:
    model, inputs = NaiveMatcher(MARKETPLACES[place]), []
    trader = Trader(model, random.Random(f"{place}-{seed}"))
    for offset in range(steps):
        inputs.append(Input(0, offset, trader.next()))
        model.apply(inputs[-1].command, 0, offset)
    return inputs


def outputs(engine: SymbolEngine, inputs: list[Input]) -> list[bytes]:
    return [matched.data for matched in engine.apply(inputs)]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("place", MARKETPLACES)
def test_snapshot_and_tail_equal_the_full_replay_at_random_cuts(place: str, seed: int) -> None:
    inputs = random_inputs(place, seed, 500)
    whole = SymbolEngine(MARKETPLACES[place])
    expected = outputs(whole, inputs)
    for cut in random.Random(seed).sample(range(len(inputs)), 12):
        first, second = SymbolEngine(MARKETPLACES[place]), SymbolEngine(MARKETPLACES[place])
        head = outputs(first, inputs[:cut])
        restore(second, snapshot(first, 0))
        assert head + outputs(second, inputs[cut:]) == expected, (seed, cut)
        assert second.state() == whole.state()
        assert second.book_hash() == whole.book_hash()


@pytest.mark.parametrize("place", MARKETPLACES)
def test_batches_of_any_size_give_the_same_records(place: str) -> None:
    inputs = random_inputs(place, 7, 300)
    one, many = SymbolEngine(MARKETPLACES[place]), SymbolEngine(MARKETPLACES[place])
    assert outputs(one, inputs) == [d for i in range(0, 300, 7) for d in outputs(many, inputs[i : i + 7])]
    assert one.state() == many.state()


def test_hash_seed_of_the_process_changes_nothing() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-m", __name__],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            timeout=60,
        ).stdout
        for seed in ("0", "4242")
    }
    assert digests == {f"{_digest()}\n".encode()}


def _digest() -> str:
    found = hashlib.sha256()
    for place, instrument in MARKETPLACES.items():
        engine = SymbolEngine(instrument)
        found.update(b"".join(outputs(engine, random_inputs(place, 3, 250))) + engine.state().encode())
    return found.hexdigest()


if __name__ == "__main__":
    sys.stdout.write(_digest() + "\n")
