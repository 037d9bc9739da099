"""Which machine and which code made a figure."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil


def made_by(folder: Path | None = None) -> dict[str, Any]:
    """Return what a reader of figures must know; `commit` is empty outside a checkout."""
    load = psutil.getloadavg()[0]
    return {
        "on": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{psutil.cpu_count()} processors ({_model()}), {psutil.virtual_memory().total >> 30} GiB,"
        f" {platform.system()}, Python {platform.python_version()}",
        "load_before": round(load, 2),
        "commit": _commit(folder or Path(__file__).parent),
    }


def _model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _commit(folder: Path) -> str:
    try:
        asked = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except OSError:
        return ""
