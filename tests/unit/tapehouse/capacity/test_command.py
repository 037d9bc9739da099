"""`tapehouse capacity` as it is typed."""

from __future__ import annotations

import json

import typer
from typer.testing import CliRunner

from tapehouse.capacity.command import command

app = typer.Typer()
app.command()(command)


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [*words])
    return done.exit_code, done.stdout, done.stderr


def test_figures_come_with_their_arithmetic() -> None:
    code, out, _ = run("--rate", "50000", "--symbols", "400", "--p99", "100000")
    assert code == 0
    assert out.startswith("50,000 orders/s, 400 symbols, p99 100000 ms\ncosts measured on ")
    [line] = [line for line in out.splitlines() if line.startswith("processor ")]
    assert "50,000/s x " in line
    assert "/ 0.7 = " in line


def test_json_holds_the_same() -> None:
    code, out, _ = run("--rate", "500", "--p99", "100000", "--json")
    document = json.loads(out)
    assert code == 0
    assert document["demand"]["symbols"] == 400
    assert document["instances"]["processor"] == 1


def test_what_cannot_be_is_said() -> None:
    code, _, err = run("--rate", "500", "--p99", "1")
    assert (code, "when the machines are idle" in err.replace("\n", " ")) == (1, True)
    code, _, err = run("--rate", "500", "--orders", "none.json")
    assert (code, "go together" in err) == (2, True)
