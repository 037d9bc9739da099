"""Run the whole exchange's shells in a simulated world until something is wrong, or enough faults happened.

    python -m tools.simulate --seed 1 --faults 10000       worlds from that seed on
    python -m tools.simulate --seed 1 --minutes 5
    python -m tools.simulate --seed 4711 --worlds 1 --trace   one world again, told step by step

Prints the faults by kind and how many a CPU-minute there were; while it runs, every half minute, how far it
is. When an invariant does not hold the exit code is 1, and the last lines name the seed and the command that
plays it again. docs/simulation.md has the rest.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from collections.abc import Callable

from tests.simulation.exchange.faults import Fault
from tests.simulation.exchange.scheduler import T0_NS
from tests.simulation.exchange.session import simulated
from tests.simulation.exchange.world import World

_TELL_EVERY_S = 30.0


class Tally:
    """What the worlds did so far."""

    def __init__(self) -> None:
        self.worlds = self.requests = self.starts = 0
        self.faults: Counter[Fault] = Counter()
        self.ends: Counter[str] = Counter()
        self.simulated_s = 0.0
        self._began_s = time.process_time()

    def add(self, world: World) -> None:
        self.worlds += 1
        self.requests += world.traders.sent
        self.starts += sum(node.starts for node in world.nodes)
        self.faults += world.faults.counts
        self.ends += world.ends
        self.simulated_s += (world.scheduler.now_ns - T0_NS) / 1e9

    @property
    def cpu_s(self) -> float:
        return time.process_time() - self._began_s

    def table(self) -> str:
        rows = [f"  {kind:46} {count:>9,}" for kind, count in self.faults.most_common()]
        total, minutes = self.faults.total(), max(self.cpu_s, 1e-9) / 60
        ends = ", ".join(f"{count:,} {name}" for name, count in sorted(self.ends.items()))
        return "\n".join(
            [
                f"{self.worlds:,} worlds, {self.requests:,} requests, {self.starts:,} starts of services,"
                f" {self.simulated_s / 3600:.1f} simulated hours; services ended on {ends or 'nothing'}",
                *rows,
                f"  {'faults':46} {total:>9,}",
                f"  {'CPU seconds':46} {self.cpu_s:>9,.1f}",
                f"  {'faults per CPU-minute':46} {total / minutes:>9,.0f}",
            ]
        )


def run(seed: int, enough: Callable[[Tally], bool], trace: Callable[[str, str], None] | None) -> bool:
    """Run worlds from `seed` on until it is enough; tell whether all was well."""
    tally, next_told = Tally(), time.monotonic() + _TELL_EVERY_S
    with simulated(trace) as make:
        while not enough(tally):
            world = make(seed)
            try:
                world.run()
            except Exception as error:
                tally.add(world)
                print(f"{tally.table()}\n\nWRONG in world {seed}: {type(error).__name__}: {error}")
                print(
                    f"again, with every step:\n    python -m tools.simulate --seed {seed} --worlds 1 --trace"
                )
                return False
            tally.add(world)
            seed += 1
            if time.monotonic() >= next_told:
                next_told += _TELL_EVERY_S
                print(f"{tally.faults.total():,} faults, next world {seed}", file=sys.stderr, flush=True)
    print(f"{tally.table()}\nnothing wrong; the next seed is {seed}")
    return True


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.simulate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="of the first world")
    parser.add_argument("--faults", type=int, help="end after so many")
    parser.add_argument("--minutes", type=float, help="end after so many minutes")
    parser.add_argument("--worlds", type=int, help="end after so many worlds")
    parser.add_argument("--trace", action="store_true", help="tell every step")
    chosen = parser.parse_args(arguments)
    if chosen.faults is None and chosen.minutes is None and chosen.worlds is None:
        chosen.faults = 10_000
    began = time.monotonic()

    def enough(tally: Tally) -> bool:
        return (
            (chosen.faults is not None and tally.faults.total() >= chosen.faults)
            or (chosen.minutes is not None and time.monotonic() - began >= 60 * chosen.minutes)
            or (chosen.worlds is not None and tally.worlds >= chosen.worlds)
        )

    gc.freeze()
    return 0 if run(chosen.seed, enough, tell if chosen.trace else None) else 1


def tell(who: str, what: str) -> None:
    print(f"{who:12} {what}")


if __name__ == "__main__":
    raise SystemExit(main())
