"""`tapehouse logs`: what the processes of the exchange print.

Exit 0: shown; 1: nothing was ever started there; 2: no process of that name.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from tapehouse import running
from tapehouse.console import DataOption
from tapehouse.errors import USAGE, OperatorError
from tapehouse.supervisor import log_file

POLL_S = 0.2


def command(
    name: Annotated[str | None, typer.Argument(help="A process (matcher-0) or a service (matcher).")] = None,
    data: DataOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Last lines of each file.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what is added.")] = False,
) -> None:
    """Show the last lines that processes printed, one file for each in the data folder."""
    chosen = log_files(running.folder_of(data).logs, name)
    width = max(len(path.stem) for path in chosen)
    ends: dict[Path, int] = {}
    for path in chosen:
        ends[path] = log_file.size(path)
        for line in log_file.tail(path, lines):
            print(f"{path.stem:{width}} | {line}")
    while follow:
        time.sleep(POLL_S)
        for path in chosen:
            ends[path] = show_new(path, ends[path], width)


def log_files(logs: Path, name: str | None) -> list[Path]:
    found = sorted(logs.glob("*.log"))
    if not found:
        raise OperatorError(f"there are no logs in {logs}")
    if name is None:
        return found
    chosen = [path for path in found if name in (path.stem, path.stem.rpartition("-")[0])]
    if not chosen:
        known = ", ".join(path.stem for path in found)
        raise OperatorError(f"no log of {name!r}; there are {known}", exit_code=USAGE)
    return chosen


def show_new(path: Path, shown: int, width: int) -> int:
    """Print the whole lines after byte `shown`; return the byte after them."""
    end = log_file.size(path)
    if end < shown:  # rotated
        shown = 0
    with path.open("rb") as file:
        file.seek(shown)
        whole, newline, _ = file.read(end - shown).rpartition(b"\n")
    if not newline:
        return shown
    for line in whole.decode(errors="replace").splitlines():
        print(f"{path.stem:{width}} | {line}", flush=True)
    return shown + len(whole) + 1
