from __future__ import annotations

import socket

from tapehouse.local_stack import ports
from tapehouse.local_stack.ports import Wanted


def test_free_ports_have_no_conflict() -> None:
    first, second = ports.free_ports(2)
    assert ports.first_conflict([Wanted(first, "kafka", "A"), Wanted(second, "valkey", "B")]) is None


def test_taken_port_is_named_with_who_wants_it_and_the_setting() -> None:
    with socket.create_server((ports.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        message = ports.first_conflict([Wanted(port, "kafka", "TAPEHOUSE_PORTS__KAFKA")])
    assert message is not None
    assert f"port {port}" in message
    assert "wanted by kafka" in message
    assert "TAPEHOUSE_PORTS__KAFKA" in message


def test_one_port_for_two_is_a_conflict() -> None:
    port = ports.free_ports(1)[0]
    message = ports.first_conflict([Wanted(port, "kafka", "A"), Wanted(port, "valkey", "B")])
    assert message is not None
    assert "twice" in message


def test_accepts_tells_a_listener_from_none() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        port = server.getsockname()[1]
        assert ports.accepts(port)
    assert not ports.accepts(port)
