"""Waits until the exchange is quiet, then lets the audit hold every invariant against it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from tapehouse.chaos.arena import Arena
from tapehouse.chaos.field import Violation
from tapehouse.supervisor.process import State

QUIET_S = 60.0
_LOOK_S = 0.25
_LOOKS = 5
"""So many looks in a row find nothing to do: services say their lag once a second."""


async def await_quiet(arena: Arena, most_s: float = QUIET_S) -> None:
    """Return when every process is ready and no service has anything left to read. Raises Violation."""
    deadline, calm, why = time.monotonic() + most_s, 0, ""
    while calm < _LOOKS:
        why = await _unrest(arena)
        calm = 0 if why else calm + 1
        if time.monotonic() > deadline:
            raise Violation(f"not quiet after {most_s:.0f} s: {why}")
        await asyncio.sleep(_LOOK_S)


async def _unrest(arena: Arena) -> str:
    processes = arena.processes()
    for name, process in processes.items():
        if process.state != State.READY:
            return f"{name} is {process.state} ({process.last_ending})"
    for name, process in processes.items():
        if process.health_port is None:
            continue
        said = await arena.health(name)
        if said is None:
            return f"{name} is not ready"
        if said.get("lag"):
            return f"{name} is {said['lag']} records behind: {said.get('lags')}"
    return ""


async def run_audit(arena: Arena, journal: Path, wait_s: float = 60.0) -> dict[str, Any]:
    """Return the audit's document. Raises Violation for the first difference, or when there is no verdict."""
    argv = ("-m", "tapehouse", "audit", "--json", "--wait", f"{wait_s:g}", "--journal", str(journal))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        env=arena.shell,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        printed, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    try:
        document: dict[str, Any] = json.loads(printed)
    except ValueError:
        words = said.decode(errors="replace").strip()[-2000:]
        raise Violation(f"the audit gave no verdict: {words}") from None
    if not document["ok"]:
        difference = document["difference"]
        raise Violation(f"{difference['invariant']}: {difference['text']}")
    for invariant, verdict in document["invariants"].items():
        if "not compared" in str(verdict["checked"]):
            raise Violation(f"{invariant}: {verdict['checked']}")
    return document
