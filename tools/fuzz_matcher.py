"""Play random streams to the matching engine and to its slow model until they differ or time is up.

    python -m tools.fuzz_matcher --minutes 10 --seed 1      many streams, from that seed on
    python -m tools.fuzz_matcher --place halts --seed 4711  one stream again

The first difference is shrunk, printed, and kept in tests/simulation/matcher/corpus/, which the test suite
plays every time.
"""

from __future__ import annotations

import argparse
import time

from tests.simulation.matcher.streams import StreamFailed, failure, play, save, shrink
from tests.simulation.matcher.trader import MARKETPLACES


def run(place: str, seed: int, steps: int) -> bool:
    """Play one stream; tell whether both agreed."""
    try:
        play(place, seed, steps)
    except StreamFailed as failed:
        print(f"{failed}\nshrinking {len(failed.commands)} commands ...")
        if failure(place, failed.commands) is None:
            print(f"only with the restores of the stream: {failed.__cause__}")
            return False
        left = shrink(place, failed.commands)
        path = save(place, f"seed-{seed}", left)
        print(f"{len(left)} commands, kept in {path}:\n{failure(place, left)}")
        return False
    return True


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz_matcher",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=300, help="commands a stream")
    parser.add_argument("--place", choices=sorted(MARKETPLACES), help="play this one stream only")
    chosen = parser.parse_args(arguments)
    if chosen.place:
        agreed = run(chosen.place, chosen.seed, chosen.steps)
        print("agreed" if agreed else "differed")
        return 0 if agreed else 1
    end, seed, played = time.monotonic() + 60 * chosen.minutes, chosen.seed, 0
    while time.monotonic() < end:
        for place in MARKETPLACES:
            if not run(place, seed, chosen.steps):
                return 1
            played += 1
        seed += 1
    print(f"agreed: {played} streams of {chosen.steps} commands, seeds {chosen.seed} to {seed - 1}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
