"""Processor time of real processes."""

from __future__ import annotations

import os
import subprocess
import sys

from tapehouse.bench.cpu import CpuMeter, used_seconds

BURN = "import time\nwhile time.process_time() < 0.2: pass\n"
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}])
print("done", flush=True)
input()
"""


def test_children_count_with_their_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    meter = CpuMeter({"busy": parent.pid, "idle": os.getppid()})
    assert parent.stdout.readline() == "done\n"
    assert meter.seconds()["busy"] >= 0.2
    parent.communicate("")


def test_process_that_is_gone_used_nothing_more() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    meter = CpuMeter({"gone": process.pid})
    process.communicate(b"\n")
    assert meter.seconds() == {"gone": 0.0}
    assert used_seconds(process.pid) == 0.0
