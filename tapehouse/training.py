"""Makes Kafka's ahead-of-time cache in the background of an exchange that has little to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from tapehouse.exchange import Exchange
from tapehouse.supervisor.program import Program, launch_async

LOOK_EVERY_S: Final = 20.0
IDLE_PERCENT: Final = 50.0


async def train_when_idle(exchange: Exchange) -> None:
    """Wait for a machine half idle for 20 s, then train; cancelled, it leaves nothing running.

    A failure is of no account: there is a log, and the next start tries again.
    """
    kafka = exchange.kafka
    if kafka is None or not exchange.settings.broker_aot_cache or kafka.aot_cache().exists():
        return
    psutil.cpu_percent()
    await asyncio.sleep(LOOK_EVERY_S)
    while psutil.cpu_percent() > 100.0 - IDLE_PERCENT:  # noqa: ASYNC110 - no event says so
        await asyncio.sleep(LOOK_EVERY_S)
    folder = exchange.folder.run / "training"
    process = await launch_async(_trainer(exchange, folder))
    try:
        await process.wait()
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)  # its broker goes with it
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _trainer(exchange: Exchange, folder: Path) -> Program:
    cache = exchange.settings.cache_dir
    module = "tapehouse.local_stack.aot_cache"
    return Program(
        name="training",
        service="training",
        argv=(sys.executable, "-m", module, str(cache), str(folder)),
        env=dict(os.environ),
        cwd=Path.cwd(),
        log_file=exchange.folder.logs / "training.log",
        ready=lambda: True,
    )
