"""Ports of this machine: who wants which, and whether it is free."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass

HOST = "127.0.0.1"
_LOWEST, _EPHEMERAL = 10_000, 32_000


@dataclass(frozen=True, slots=True)
class Wanted:
    port: int
    wanted_by: str
    setting: str
    """The variable that moves it."""
    host: str = HOST


def first_conflict(wanted: Iterable[Wanted]) -> str | None:
    """A message for the first port that is taken or wanted twice; None when all are free."""
    owners: dict[int, Wanted] = {}
    for want in wanted:
        other = owners.setdefault(want.port, want)
        if other is not want:
            return (
                f"port {want.port} is wanted twice, by {other.wanted_by} ({other.setting}) "
                f"and by {want.wanted_by} ({want.setting}); give one of them another."
            )
        if not is_free(want.port, want.host):
            return (
                f"port {want.port} on {want.host}, wanted by {want.wanted_by}, is taken by another program. "
                f"Stop that program, or choose another port with {want.setting}."
            )
    return None


def is_free(port: int, host: str = HOST) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # passes over connections that linger after their server's end, not over one that listens
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    """Whether something listens there now."""
    try:
        socket.create_connection((HOST, port), timeout=0.5).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Different ports that were free a moment ago, for tests.

    Below those that the system gives to outgoing connections: one of these could take the port before its
    server does.
    """
    dice, found = random.SystemRandom(), set[int]()
    while len(found) < count:
        port = dice.randrange(_LOWEST, _EPHEMERAL)
        if is_free(port):
            found.add(port)
    return list(found)
