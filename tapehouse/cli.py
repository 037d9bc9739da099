"""The `tapehouse` command: a table of sub-commands, each in a module of its own, imported when it is called.

Exit codes: see `errors.py`; a sub-command that has more says so in its module.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.exceptions import TyperException

from tapehouse.errors import FAILED, USAGE, OperatorError

if TYPE_CHECKING:
    from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class Entry:
    target: str
    """`module:name` of a typer app or of a function."""
    help: str
    of_running: bool = True
    """Whether it takes the addresses of the exchange that runs on the data folder."""
    for_scripts: bool = False
    """Whether it prints an object with `--json` even when it fails: `ok` false, `error` what it said."""


COMMANDS: Final = {
    "up": Entry(
        "tapehouse.up:command",
        "Start an exchange here and keep it running.",
        of_running=False,
        for_scripts=True,
    ),
    "status": Entry(
        "tapehouse.status:command",
        "Show each process, its health and lag.",
        of_running=False,
        for_scripts=True,
    ),
    "down": Entry(
        "tapehouse.down:down", "Stop the exchange; its data stays.", of_running=False, for_scripts=True
    ),
    "reset": Entry("tapehouse.down:reset", "Delete the data folder, after asking.", of_running=False),
    "logs": Entry("tapehouse.logs:command", "Show what the processes print.", of_running=False),
    "topics": Entry("tapehouse.topics:app", "Hold the broker to topics.yaml: plan, apply, acls."),
    "migrate": Entry("tapehouse.migrate:command", "Bring the database's schema up to date."),
    "groups": Entry("tapehouse.groups:command", "Show consumer groups, members and lag."),
    "market": Entry("tapehouse.market:command", "Show the state of symbols; halt, auction or open one."),
    "account": Entry(
        "tapehouse.account:app", "Open and fund accounts, make their API keys.", for_scripts=True
    ),
    "replay": Entry("tapehouse.replay.command:command", "Read a topic as JSON lines, CSV or Parquet."),
    "audit": Entry(
        "tapehouse.audit:audit_command",
        "Prove from the log that nothing is lost or doubled.",
        for_scripts=True,
    ),
    "balances": Entry(
        "tapehouse.audit.look_back_command:balances_command", "Show balances, now or then, from the log."
    ),
    "backup": Entry("tapehouse.backups.command:backup_command", "Save the database with its positions."),
    "restore": Entry(
        "tapehouse.backups.command:restore_command",
        "Put a backup back, and forward from the log.",
        of_running=False,
    ),
    "chaos": Entry(
        "tapehouse.chaos.command:command", "Break a throw-away exchange, prove it sound.", of_running=False
    ),
    "demo": Entry("tapehouse.demo.command:app", "Trade with a demo fleet, or send a recorded tape."),
    "bench": Entry("tapehouse.bench.command:app", "Measure the running exchange."),
    "capacity": Entry(
        "tapehouse.capacity.command:command", "Size a cluster for a rate, arithmetic shown.", of_running=False
    ),
}


class LazyGroup(typer.core.TyperGroup):
    """Help knows each command by its table entry alone; the module is imported when it is run."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else typer.core.TyperCommand(cmd_name, help=entry.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        assert name is not None
        if COMMANDS[name].of_running:
            _take_addresses(ctx.params.get("data") or os.environ.get("TAPEHOUSE_DATA"))
        return name, load(name), rest


def load(name: str) -> Any:
    """Import a sub-command."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    target: typer.Typer | Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    if not isinstance(target, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name)(target)
        target = app
    command = typer.main.get_command(target)
    command.name = name
    return command


def _take_addresses(given: str | None) -> None:
    """Let settings find the running exchange; what was given in the environment stays."""
    from tapehouse.running import environment_of

    for variable, value in environment_of(Path(given) if given else None).items():
        os.environ.setdefault(variable, value)


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback()
def tapehouse(
    data: str | None = typer.Option(None, metavar="DIR", help="The data folder. [default: ./.tapehouse]"),
) -> None:
    """An exchange whose truth is a log you can replay."""
    if data is not None:
        os.environ["TAPEHOUSE_DATA"] = data


def main() -> int:
    try:
        return app(prog_name="tapehouse", standalone_mode=False) or 0
    except BrokenPipeError:  # `tapehouse logs | head`
        sys.stderr.close()
        return FAILED
    except (OperatorError, TyperException, typer.Abort, ValueError, OSError) as error:
        expected = _expected(error)
        if expected is None:
            raise
        return _failed(*expected)


def _expected(error: Exception) -> tuple[str, int] | None:
    """Return what to say and the exit code; None for what is a bug of ours and needs its traceback."""
    match error:
        case OperatorError():
            return f"tapehouse: {error.message}", error.exit_code
        case typer.Abort():
            return "tapehouse: a question was not answered, nothing was done", FAILED
        case TyperException():
            said = error.format_message().strip()  # help is shown already where nothing is said
            asked = not said or said.startswith("Usage:")
            return said if asked else f"tapehouse: {said.rstrip('.')}. `--help` tells more.", USAGE
        case OSError() if error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
            return f"tapehouse: {where}{error.strerror}", FAILED
    from pydantic import ValidationError

    return (f"tapehouse: {_settings(error)}", USAGE) if isinstance(error, ValidationError) else None


def _failed(said: str, exit_code: int) -> int:
    if said:
        print(said, file=sys.stderr)
    words = sys.argv[1:]
    command = next((COMMANDS[word] for word in words if word in COMMANDS), None)
    if command is not None and command.for_scripts and "--json" in words:
        print(json.dumps({"ok": False, "error": said.removeprefix("tapehouse: ")}))
    return exit_code


def _settings(error: ValidationError) -> str:
    """Settings are given by variables, so name those."""
    lines = []
    for problem in error.errors():
        variable = "TAPEHOUSE_" + "__".join(str(part).upper() for part in problem["loc"])
        lines.append(f"{variable}: {problem['msg']} (given: {problem['input']!r})")
    return "\n".join(lines)
