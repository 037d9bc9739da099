"""An exchange on servers of its own, from first start to last stop, as a script drives it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx

from tapehouse.supervisor.program import bound
from tests import service_logs
from tests.e2e.machine import Machine, ok
from tests.waiting import until


def test_one_object_from_each_command(machine: Machine, tmp_path: Path) -> None:
    printed, log = tmp_path / "printed", tmp_path / "up.log"
    service_logs.watch(log)
    with printed.open("wb") as stdout, log.open("wb") as stderr:
        argv = bound([sys.executable, "-m", "tapehouse", "up", "--json"])
        up = subprocess.Popen(argv, env=machine.environment, stdout=stdout, stderr=stderr)
    try:
        until(lambda: up.poll() is not None or printed.read_text().endswith("}\n"), "the object", 120)
        started = json.loads(printed.read_text())
        assert (started["ok"], started["data"], started["supervisor"]) == (True, str(machine.data), up.pid)
        assert httpx.get(f"{started['url']}/api/v3/ping").json() == {}
        assert httpx.get(f"{started['api']}/trades", params={"symbol": "BTCUSDT"}).json() == []
        running = machine.pids()
        assert {"kafka", "postgres", "valkey", "matcher-0"} <= running.keys()
        assert "demo-0" not in running

        status = json.loads(ok(machine("status", "--json")))
        assert (status["ok"], status["phase"], status["url"]) == (True, "running", started["url"])
        opened = json.loads(ok(machine("account", "create", "alice", "--json")))
        funded = json.loads(ok(machine("account", "deposit", "alice", "USDT", "12.5", "--json")))
        assert (funded["account_id"], funded["amount"]) == (opened["account_id"], "12.50000000")
        key = json.loads(ok(machine("account", "api-key", "alice", "--json")))
        assert {"account_id", "api_key", "secret_key", "permissions", "ok"} <= key.keys()
        assert key["permissions"] == ["read", "trade"]
        audited = json.loads(ok(machine("audit", "--json")))
        assert (audited["ok"], audited["difference"]) == (True, None)

        down = json.loads(ok(machine("down", "--json")))
        assert (down["ok"], down["data"]) == (True, str(machine.data))
        assert up.wait(60) == 0
        assert json.loads(printed.read_text()) == started
        assert machine.left() == []
    finally:
        up.kill()
        up.wait()
