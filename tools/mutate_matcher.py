"""Plant faults in a copy of the matching engine, one at a time, and see that the tests catch each.

    python -m tools.mutate_matcher [NAME ...]

Prints a table: the fault, how many scenarios fail (it stops at 12), which random test fails first, seconds.
The exit code is 1 if one survives, or if a patch does not fit the engine any more. The faults are in
tools/matcher_faults.py.
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

from tools.matcher_faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parent.parent
COPIED = (
    "matcher",
    "schemas",
    "service_runtime",
    "tools",
    "tests/simulation",
    "tests/unit/matcher",
    "tests/data",
)
FILES = ("instruments.yaml", "topics.yaml", "pyproject.toml", "tests/__init__.py", "tests/builders.py")
SUITE = "tests/simulation/matcher"
SCENARIOS = f"{SUITE}/test_scenarios.py"
HANGS_S = 30
"""A test that takes longer fails: a fault may let the engine run for ever."""
RANDOM = (f"{SUITE}/test_engine_against_model.py", f"{SUITE}/test_replay.py")


@dataclass(frozen=True)
class Verdict:
    fault: Fault
    scenarios: list[str]
    random: list[str]
    seconds: float

    @property
    def caught(self) -> bool:
        return bool(self.scenarios or self.random)

    def row(self) -> str:
        first = self.random[0] if self.random else "-"
        verdict = "caught" if self.caught else "SURVIVED"
        return f"{verdict:8}  {self.fault.name:46}  {len(self.scenarios):9}  {first:60}  {self.seconds:4.0f}"


def copy_to(folder: Path) -> None:
    """Copy what the suite needs; no compiled modules, so that the patched source is what runs."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    for name in COPIED:
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    (folder / "tests/unit/__init__.py").touch()


def failed(folder: Path, *arguments: str) -> list[str]:
    """Run tests in the copy; return the names of those that failed."""
    options = ("-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=no", f"--timeout={HANGS_S}")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode not in (0, 1):
        raise RuntimeError(f"the suite did not run:\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return re.findall(r"^FAILED \S*?([^/\s]+\.py::.+?)(?: - .*)?$", run.stdout, re.MULTILINE)


def judge(fault: Fault) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="matcher-fault-") as name:
        folder = Path(name)
        copy_to(folder)
        fault.plant(folder)
        start = time.monotonic()
        scenarios = failed(folder, SCENARIOS, "-k", "engine", "--maxfail=12")
        # the state machine would shrink what streams find sooner
        found = failed(folder, *RANDOM, "-x", "-k", "not EngineAgainstModel")
        return Verdict(fault, scenarios, found, time.monotonic() - start)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.mutate_matcher",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", help="only these faults")
    chosen = parser.parse_args(arguments).names
    faults = [fault for fault in FAULTS if not chosen or fault.name in chosen]
    print(f"{'':8}  {'fault':46}  {'scenarios':9}  {'first random test that fails':60}  {'s':>4}", flush=True)
    survivors = 0
    for fault in faults:
        verdict = judge(fault)
        survivors += not verdict.caught
        print(verdict.row(), flush=True)
    print(f"{len(faults) - survivors} of {len(faults)} faults caught")
    return 1 if survivors or not faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
