"""What the tools print on standard error, so that standard output can be piped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tapehouse.errors import FAILED, OperatorError

if TYPE_CHECKING:  # half a second of every command otherwise
    from rich.console import Console

DataOption = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The data folder. [default: ./.tapehouse]")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="For scripts: one object on standard output, nothing else there.")
]


def stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def fail(command: str, error: Exception) -> typer.Exit:
    """Say what went wrong in one line and return the exit to raise."""
    stderr().print(f"tapehouse {command}: {error}", style="red", markup=False, soft_wrap=True)
    return typer.Exit(error.exit_code if isinstance(error, OperatorError) else FAILED)


def answer(as_json: bool, document: dict[str, Any], text: str = "", *, ok: bool = True) -> None:
    """Print what a script reads, one object on standard output, or what a person reads."""
    print(json.dumps({"ok": ok, **document}, indent=2) if as_json else text)


def log_to_stderr() -> None:
    """Keep what libraries of ours log apart from what a command prints; the stream is looked up a line."""
    import structlog

    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
