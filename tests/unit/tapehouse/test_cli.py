from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tapehouse import cli
from tapehouse.errors import USAGE


def tapehouse(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("TAPEHOUSE_")}
    return subprocess.run(
        [sys.executable, "-m", "tapehouse", *words],
        env={**env, **variables},
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


def test_unknown_command_is_wrong_use() -> None:
    done = tapehouse("fly")
    assert done.returncode == USAGE
    assert "fly" in done.stderr
    assert "Traceback" not in done.stderr
