"""Run as a script beside a supervisor where the kernel has no parent-death signal (macOS).

`guard.py STATE_FILE`, with a pipe from the supervisor as its standard input: the pipe closes when the
supervisor ends, however that happens. What its state file still lists then is asked to end, and killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

PATIENCE_S = 3.0


def main() -> None:
    sys.stdin.buffer.read()
    pids = _listed(sys.argv[1])
    for number in (signal.SIGTERM, signal.SIGKILL):
        pids = [pid for pid in pids if _signal(pid, number)]
        deadline = time.monotonic() + PATIENCE_S
        while pids and number is signal.SIGTERM and time.monotonic() < deadline:
            time.sleep(0.05)
            pids = [pid for pid in pids if _signal(pid, 0)]


def _listed(state_file: str) -> list[int]:
    try:
        with open(state_file) as file:
            processes = json.load(file)["processes"]
    except FileNotFoundError:
        return []
    return [process["pid"] for process in processes if process["pid"] is not None]


def _signal(pid: int, number: int) -> bool:
    """Whether it was there to be signaled."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
