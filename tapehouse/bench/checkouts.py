"""The same benchmark in two checkouts, in turns, so that both meet the same weather of the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tapehouse.errors import OperatorError

MOST_S = 1_800


def alternate(checkouts: Sequence[Path], arguments: Sequence[str], times: int) -> list[dict[str, Any]]:
    """Run `tapehouse bench ARGUMENTS --json` so often in each; return one document of runs for each.

    Raises OperatorError with what a failed run said.
    """
    runs: list[list[Any]] = [[] for _ in checkouts]
    for turn in range(times):
        order = range(len(checkouts)) if turn % 2 == 0 else reversed(range(len(checkouts)))
        for number in order:
            print(f"{checkouts[number]}: {turn + 1} of {times}", file=sys.stderr, flush=True)
            runs[number] += run_in(checkouts[number], arguments)["runs"]
    return [{"runs": found} for found in runs]


def run_in(checkout: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Run the benchmark with the code of that checkout and the libraries of this environment."""
    if not (checkout / "tapehouse" / "bench").is_dir():
        raise OperatorError(f"{checkout} is no checkout of Tapehouse with this benchmark")
    with tempfile.TemporaryDirectory(prefix="tapehouse-compare-") as folder:
        figures = Path(folder) / "figures.json"
        done = subprocess.run(
            [sys.executable, "-m", "tapehouse", "bench", *arguments, "--json", str(figures)],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            capture_output=True,
            text=True,
            timeout=MOST_S,
            check=False,
        )
        if done.returncode or not figures.exists():
            raise OperatorError(f"in {checkout}: {done.stderr[-2000:] or done.stdout[-2000:]}")
        found: dict[str, Any] = json.loads(figures.read_text())
    return found
