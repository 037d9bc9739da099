"""The life of an exchange on one machine: started, killed, started again, stopped, deleted."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tapehouse.errors import FAILED, USAGE
from tests.e2e.machine import Machine, alive, ok
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def test_killed_supervisor_leaves_no_process_and_loses_nothing(machine: Machine, redis_url: str) -> None:
    """With Redis given and the other servers its own."""
    given = {**machine.environment, "TAPEHOUSE_REDIS__URL": redis_url.removesuffix("/0") + "/9"}
    machine = Machine(machine.data, given)
    ok(machine("up", "--detach"))
    ok(machine("account", "create", "alice"))
    ok(machine("account", "deposit", "alice", "USDT", "1000"))
    funded = ok(machine("account", "show", "alice", "--json"))
    assert "1000" in funded

    before = machine.pids()
    assert "kafka" in before
    assert "valkey" not in before
    state = machine.state()
    assert state is not None
    os.kill(state.pid, signal.SIGKILL)
    until(lambda: not any(map(alive, before.values())), "every process ended")
    assert machine("status").returncode == FAILED
    assert machine("down").returncode == FAILED

    ok(machine("up", "--detach"))
    assert ok(machine("account", "show", "alice", "--json")) == funded
    after = machine.pids()
    ok(machine("down"))
    assert not any(map(alive, after.values()))


def test_another_shell_sees_restarts_stops_and_deletes_it(machine: Machine) -> None:
    ok(machine("up", "--detach"))
    status = json.loads(ok(machine("status", "--json")))
    assert {p["health"] for p in status["processes"]} == {"ready"}
    assert {"kafka", "postgres", "valkey", "matcher-0", "ingest-0"} <= {
        p["name"] for p in status["processes"]
    }

    second = machine("up")
    assert second.returncode == FAILED
    assert f"process {status['supervisor']}" in second.stderr

    killed = machine.pids()["recorder-0"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: machine("status").returncode == 0 and machine.pids()["recorder-0"] != killed, "it is back")
    assert (
        "recorder-0 ended (killed by SIGKILL); it is started again now."
        in (machine.data / "logs" / "up.log").read_text()
    )
    assert "matcher-0 | " in ok(machine("logs", "matcher"))
    assert machine("logs", "nobody").returncode == USAGE

    kept = machine("reset", answer="n\n")
    assert kept.returncode == FAILED
    assert "nothing was deleted" in kept.stderr
    assert machine.state() is not None
    pids = machine.pids()
    ok(machine("reset", "--yes"))
    assert not machine.data.exists()
    assert not any(map(alive, pids.values()))
