"""What keeps an exchange from starting is said in one sentence; nothing is left running."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tapehouse.local_stack import ports
from tests.e2e.conftest import RunningExchange
from tests.e2e.machine import Machine, said_plainly
from tests.service_process import REPOSITORY

TMPFS = ("unshare", "--user", "--map-root-user", "--mount")
"""A mount of one's own, where the kernel lets one have it."""


def test_taken_port_is_named_before_anything_starts(machine: Machine) -> None:
    port = int(machine.environment["TAPEHOUSE_PORTS__VALKEY"])
    with socket.create_server((ports.HOST, port)):
        said = said_plainly(machine("up"))
    assert f"port {port} on 127.0.0.1, wanted by valkey" in said
    assert "TAPEHOUSE_PORTS__VALKEY" in said
    assert machine.left() == []


def test_second_start_on_the_same_folder(running_exchange: RunningExchange) -> None:
    live = running_exchange.live
    before = live.pids()
    refused = live.command("up", "--json")
    supervisor = live.answer("status")["supervisor"]
    assert f"already runs on {live.folder} (process {supervisor}, running)" in said_plainly(refused)
    assert json.loads(refused.stdout)["ok"] is False
    assert live.pids() == before


def test_first_start_without_a_network(machine: Machine, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{ports.free_ports(1)[0]}"
    refused = machine("up", TAPEHOUSE_CACHE_DIR=str(tmp_path / "cache"), TAPEHOUSE_MAVEN_REPOSITORY=nowhere)
    assert "cannot download Apache Kafka" in said_plainly(refused)
    assert "TAPEHOUSE_MAVEN_REPOSITORY" in refused.stderr
    assert machine.left() == []


def test_too_little_space(machine: Machine) -> None:
    said = said_plainly(machine("up", TAPEHOUSE_MIN_FREE_MB="1000000000"))
    assert f"the disk of {machine.data} is full" in said
    assert machine.left() == []


def test_disk_that_fills_while_it_starts(machine: Machine) -> None:
    if subprocess.run([*TMPFS, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False).returncode:
        pytest.skip("this kernel gives us no mount of our own")
    machine.data.mkdir()
    up = f"mount -t tmpfs -o size=24m tmpfs {machine.data} && exec .venv/bin/tapehouse up"
    refused = subprocess.run(
        [*TMPFS, "sh", "-c", up],
        cwd=REPOSITORY,
        env={**machine.environment, "TAPEHOUSE_MIN_FREE_MB": "0"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said_plainly(refused)
    assert "No space left on device" in refused.stderr
    assert machine.left() == []


@pytest.mark.parametrize("below", ["", "/data"])
def test_a_data_folder_that_is_a_file(machine: Machine, tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    assert str(file) in said_plainly(machine("up", TAPEHOUSE_DATA=f"{file}{below}"))


@pytest.mark.parametrize(
    ("variables", "what"),
    [
        pytest.param(
            {"TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"},
            "cannot list the topics",
            marks=pytest.mark.long,  # 15 s of patience
        ),
        ({"TAPEHOUSE_POSTGRES__DSN": "postgresql://me@127.0.0.1:9/db"}, "port 9 failed: Connection refused"),
    ],
)
def test_a_given_server_that_is_not_there(machine: Machine, variables: dict[str, str], what: str) -> None:
    assert what in said_plainly(machine("up", **variables))
    assert machine.left() == []


@pytest.mark.parametrize(
    ("python", "what"),
    [("", "needs Python 3.11, 3.12 or 3.13"), ("sh", "The environment could not be made")],
)
def test_set_up_that_cannot_be(tmp_path: Path, python: str, what: str) -> None:
    """No Python that serves; what make runs fails, as it does without a network."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "tools/uv.requirements.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    done = subprocess.run(
        ["make", "setup", f"PYTHON={python}"],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2  # as make says that something failed
    assert what in done.stderr
    assert not (tmp_path / ".venv").exists()
