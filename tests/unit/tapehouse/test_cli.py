from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tapehouse import cli
from tapehouse.errors import FAILED, USAGE


def tapehouse(*words: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("TAPEHOUSE_")}
    return subprocess.run(
        [sys.executable, "-m", "tapehouse", *words],
        env={**env, **variables},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_entry_of_the_table_can_be_loaded(name: str) -> None:
    assert cli.load(name).name == name


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys\nfrom tapehouse import cli\nsys.argv = ['tapehouse', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'confluent_kafka', 'psycopg', 'pydantic', 'duckdb', 'fastapi'} & set(sys.modules)\n"
        "print('imported:', sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "imported: []" in done.stdout
    for name, entry in cli.COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert entry.help.rstrip(".")[:30] in done.stdout


def test_bad_setting_is_named_by_its_variable() -> None:
    done = tapehouse("up", TAPEHOUSE_PORTS__KAFKA="seven")
    assert done.returncode == USAGE
    assert done.stderr.startswith("tapehouse: TAPEHOUSE_PORTS__KAFKA: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("status",), FAILED, "no exchange runs on "),
        (("down",), FAILED, "no exchange runs on "),
        (("audit",), FAILED, "no exchange runs on "),
        (("account", "create", "alice"), FAILED, "is the exchange started?"),
        (("account", "create", "1001"), USAGE, "would name another account"),
        (("account", "deposit", "alice"), USAGE, "Missing argument 'asset'"),
        (("account", "api-key", "alice", "--permissions", "fly"), USAGE, "--permissions 'fly'"),
        (("up", "--scale", "nobody=2"), USAGE, "no service 'nobody'"),
        (("up", "--fly"), USAGE, "No such option: --fly"),
    ],
)
def test_what_fails_gives_a_script_one_object(
    words: tuple[str, ...], exit_code: int, said: str, tmp_path: Path
) -> None:
    done = tapehouse("--data", str(tmp_path / "data"), *words, "--json", cwd=tmp_path)
    assert done.returncode == exit_code
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert said in document["error"]
    assert f"tapehouse: {document['error']}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_person_reads_it_on_standard_error_alone(tmp_path: Path) -> None:
    done = tapehouse("--data", str(tmp_path), "status")
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert done.stderr.startswith(f"tapehouse: no exchange runs on {tmp_path}. ")


def test_no_command_shows_what_there_is() -> None:
    done = tapehouse()
    assert done.returncode == USAGE
    assert done.stderr.startswith("Usage: tapehouse ")


def test_unknown_command_is_wrong_use() -> None:
    done = tapehouse("fly")
    assert done.returncode == USAGE
    assert "fly" in done.stderr
    assert "Traceback" not in done.stderr
