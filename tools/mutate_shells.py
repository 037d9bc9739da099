"""Plant faults in a copy of the services' shells, one at a time, and see that the simulation finds each.

    python -m tools.mutate_shells [--minutes 5] [--seed 1] [NAME ...]

Prints a table: the fault, the world (its seed) that found it, how many simulated faults and seconds it took,
and what was wrong. The exit code is 1 if one survives, or if a patch does not fit the shells any more. The
faults are in tools/shell_faults.py.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tools.shell_faults import FAULTS, ShellFault

ROOT = Path(__file__).resolve().parent.parent
COPIED = (
    "matcher",
    "processor",
    "recorder",
    "schemas",
    "service_runtime",
    "tapehouse",
    "tests/simulation",
    "tools",
)
FILES = ("instruments.yaml", "topics.yaml", "pyproject.toml", "tests/__init__.py")
_FOUND = re.compile(r"^WRONG in world (\d+): (.*)$", re.MULTILINE)
_FAULTS = re.compile(r"^  faults +([\d,]+)$", re.MULTILINE)
_MOST_TEXT = 90


@dataclass(frozen=True)
class Verdict:
    fault: ShellFault
    seed: str
    faults: str
    seconds: float
    what: str

    @property
    def caught(self) -> bool:
        return bool(self.seed)

    def row(self) -> str:
        verdict = "caught" if self.caught else "SURVIVED"
        return (
            f"{verdict:8}  {self.fault.name:56}  {self.seed or '-':>6}  {self.faults:>8}  {self.seconds:5.0f}"
            f"  {self.what[:_MOST_TEXT]}"
        )


def copy_to(folder: Path) -> None:
    """Copy what the simulation needs; no compiled modules, so that the patched source is what runs."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def judge(fault: ShellFault, seed: int, minutes: float) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="shell-fault-") as name:
        folder = Path(name)
        copy_to(folder)
        fault.plant(folder)
        start = time.monotonic()
        run = subprocess.run(
            [sys.executable, "-m", "tools.simulate", "--seed", str(seed), "--minutes", str(minutes)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        found, faults = _FOUND.search(run.stdout), _FAULTS.search(run.stdout)
        if faults is None or (run.returncode and found is None):
            raise RuntimeError(f"the simulation did not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
        where, what = (found[1], found[2]) if found else ("", "")
        return Verdict(fault, where, faults[1], time.monotonic() - start, what)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutate_shells",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", help="only these faults")
    parser.add_argument("--minutes", type=float, default=5.0, help="for each fault, at most")
    parser.add_argument("--seed", type=int, default=1, help="of the first world")
    chosen = parser.parse_args(arguments)
    faults = [fault for fault in FAULTS if not chosen.names or fault.name in chosen.names]
    print(f"{'':8}  {'fault':56}  {'seed':>6}  {'faults':>8}  {'s':>5}  what was wrong", flush=True)
    survivors = 0
    for fault in faults:
        verdict = judge(fault, chosen.seed, chosen.minutes)
        survivors += not verdict.caught
        print(verdict.row(), flush=True)
    print(f"{len(faults) - survivors} of {len(faults)} faults caught")
    return 1 if survivors or not faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
