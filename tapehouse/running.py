"""The exchange that runs on a data folder: found, asked, stopped. For the commands from another shell."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tapehouse.errors import OperatorError
from tapehouse.local_stack import data_folder
from tapehouse.local_stack.data_folder import DataFolder
from tapehouse.settings import OperatorSettings
from tapehouse.supervisor import state_file
from tapehouse.supervisor.state_file import ExchangeState

STOP_PATIENCE_S = 15.0
_POLL_S = 0.02


def folder_of(data: Path | None) -> DataFolder:
    """The folder that `up` would take. Raises OperatorError."""
    settings = OperatorSettings()
    user = data_folder.postgres_user() if settings.embeds_postgres else None
    return data_folder.choose(data or settings.data, Path.cwd(), user)


def state_of(folder: DataFolder) -> ExchangeState:
    """Raises OperatorError when nothing runs there."""
    state = state_file.running(folder.run)
    if state is None:
        raise OperatorError(
            f"no exchange runs on {folder.root}. `tapehouse up` starts one; --data DIR names another folder."
        )
    return state


def stop(folder: DataFolder) -> float:
    """Ask the supervisor to stop everything and wait for its end; return the seconds it took."""
    state = state_of(folder)
    began = time.monotonic()
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        supervisor = psutil.Process(state.pid)
        os.kill(state.pid, signal.SIGTERM)
        while not _ended(supervisor):
            if time.monotonic() - began > STOP_PATIENCE_S:
                raise OperatorError(
                    f"the supervisor, process {state.pid}, has not ended within {STOP_PATIENCE_S:.0f} s"
                )
            time.sleep(_POLL_S)
    return time.monotonic() - began


def _ended(process: psutil.Process) -> bool:
    """A program that started it and did not wait for it keeps its remains (a zombie) for good."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def environment_of(data: Path | None) -> dict[str, str]:
    """The `TAPEHOUSE_*` variables of the exchange that runs on the folder; empty when none does."""
    try:
        state = state_file.running(folder_of(data).run)
    except (OperatorError, ValueError):
        return {}
    return {} if state is None else dict(state.environment)
