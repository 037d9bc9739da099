"""The shells of processor, matcher and recorder in a world that goes wrong: a short run of it.

`python -m tools.simulate` runs more of it, for as long as one likes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.exchange.faults import Fault
from tests.simulation.exchange.session import simulated
from tests.simulation.exchange.world import World

ROOT = Path(__file__).resolve().parents[3]
CORPUS = Path(__file__).with_name("corpus.txt")
SEEDS = range(1, 6)


def corpus() -> list[int]:
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("seed", sorted({*SEEDS, *corpus()}))
def test_every_invariant_holds_whatever_goes_wrong(seed: int) -> None:
    with simulated() as make:
        make(seed).run()


def test_every_kind_of_fault_happens() -> None:
    seen: set[Fault] = set()
    with simulated() as make:
        for seed in range(100, 130):
            world = make(seed)
            world.run(rounds=2, requests=60)
            seen |= world.faults.counts.keys()
            if seen == set(Fault):
                return
    assert seen == set(Fault)


def test_the_seed_decides_everything() -> None:
    """Another hash seed, another process, the same world."""
    program = (
        "from tests.simulation.exchange.session import simulated\n"
        "with simulated() as make:\n"
        "    world = make(5)\n"
        "    world.run(rounds=1, requests=40)\n"
        "    print(world.digest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1
    assert digests != {""}


def test_another_seed_is_another_world() -> None:
    def digest(seed: int) -> str:
        with simulated() as make:
            world: World = make(seed)
            world.run(rounds=1, requests=20)
            return world.digest()

    assert digest(3) != digest(4)
    assert digest(3) == digest(3)
