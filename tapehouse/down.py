"""`tapehouse down` and `tapehouse reset`.

Exit 0: done; 1: it did not stop, the answer was no, or there is nothing (running) there.
"""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from tapehouse import running
from tapehouse.console import DataOption, JsonOption, answer
from tapehouse.errors import OperatorError
from tapehouse.supervisor import state_file


def down(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Stop the exchange that runs on the data folder; its data stays."""
    folder = running.folder_of(data)
    took_s = running.stop(folder)
    answer(as_json, {"data": str(folder.root), "seconds": round(took_s, 1)}, f"Stopped in {took_s:.1f} s.")


def reset(
    data: DataOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete the data folder: every order, trade, account and key of this exchange. Asks first."""
    folder = running.folder_of(data)
    if not folder.run.is_dir():
        raise OperatorError(f"{folder.root} is no data folder of Tapehouse")
    runs = state_file.running(folder.run) is not None
    question = f"Delete {folder.root}, with all accounts, orders and trades in it"
    if not yes and not typer.confirm(f"{question}{', and stop what runs on it' if runs else ''}?"):
        raise OperatorError("nothing was deleted")
    if runs:
        running.stop(folder)
    with state_file.locked(folder.run):
        shutil.rmtree(folder.root)
    print(f"Deleted {folder.root}.")
