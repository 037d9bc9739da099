from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tapehouse import status
from tapehouse.supervisor.state_file import ProcessState

MATCHER = ProcessState(
    name="matcher-0",
    service="matcher",
    instance=0,
    state="ready",
    pid=4711,
    created_at=1_000.0,
    started_at=1_000.0,
    restarts=2,
    last_ending="killed by SIGKILL",
    health_port=None,
    log_file=Path("matcher-0.log"),
)


def test_row_joins_what_supervisor_system_and_broker_know() -> None:
    use = {4711: status.Use(cpu_percent=12.5, memory_mb=80.0)}
    row = status.row(MATCHER, use, {"matcher-0": 7}, now=1_060.0)
    assert (row.uptime_s, row.cpu_percent, row.memory_mb, row.lag) == (60.0, 12.5, 80.0, 7)
    assert (row.restarts, row.last_ending, row.health) == (2, "killed by SIGKILL", "ready")


def test_process_that_is_not_there_has_no_figures() -> None:
    gone = MATCHER.model_copy(update={"pid": None, "started_at": None, "state": "waiting"})
    row = status.row(gone, {}, {}, now=1_060.0)
    assert (row.health, row.pid, row.uptime_s, row.cpu_percent, row.lag) == (
        "waiting",
        None,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(("answer", "expected"), [(200, "ready"), (503, "not ready")])
def test_health_is_asked_of_the_process_itself(answer: int, expected: str) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer if self.path == "/health/ready" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        asked = MATCHER.model_copy(update={"health_port": server.server_port})
        assert status.health(asked) == expected
        thread.join()


def test_use_counts_a_process_and_leaves_out_one_that_is_gone() -> None:
    use = status.usage_of([os.getpid(), 2**22 + 1])
    assert set(use) == {os.getpid()}
    assert use[os.getpid()].memory_mb > 1
