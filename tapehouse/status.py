"""`tapehouse status`: each process of the running exchange, its health and its lag; each symbol's book.

Exit 0: everything is ready; 1: something is not, or nothing runs there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psutil
import typer

from tapehouse import running
from tapehouse.addresses import addresses
from tapehouse.console import DataOption, JsonOption, answer
from tapehouse.errors import FAILED
from tapehouse.service_table import SERVICES
from tapehouse.settings import OperatorSettings

if TYPE_CHECKING:
    from tapehouse.supervisor.state_file import ExchangeState, ProcessState

CPU_SAMPLE_S = 0.25
_ASK_TIMEOUT_S = 2.0
_HASH_DIGITS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    name: str
    pid: int | None
    health: str
    restarts: int
    last_ending: str | None
    uptime_s: float | None
    cpu_percent: float | None
    """Of one core, over the last quarter of a second, with the process's own children."""
    memory_mb: float | None
    lag: int | None
    """Records its consumer group has not committed, in the partitions this process owns."""


@dataclass(frozen=True, slots=True)
class Use:
    cpu_percent: float
    memory_mb: float


def command(
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show each process: pid, health, restarts, uptime, CPU, memory, lag."""
    state = running.state_of(running.folder_of(data))
    use = usage_of([process.pid for process in state.processes if process.pid is not None])
    rows = [row(process, use, _lags(state), time.time()) for process in state.processes]
    ready = state.phase == "running" and all(row.health == "ready" for row in rows)
    symbols = symbols_of(state)
    if as_json:
        document = {"phase": state.phase, "supervisor": state.pid, **addresses(state.environment)}
        processes = [asdict(row) for row in rows]
        answer(True, {**document, "processes": processes, "symbols": symbols}, ok=ready)
    else:
        _show(state, rows)
        _show_symbols(symbols)
    if not ready:
        raise typer.Exit(FAILED)


def row(process: ProcessState, use: Mapping[int, Use], lags: Mapping[str, int], now: float) -> Row:
    used = None if process.pid is None else use.get(process.pid)
    return Row(
        name=process.name,
        pid=process.pid,
        health=health(process),
        restarts=process.restarts,
        last_ending=process.last_ending,
        uptime_s=None if process.started_at is None else round(now - process.started_at, 1),
        cpu_percent=None if used is None else used.cpu_percent,
        memory_mb=None if used is None else used.memory_mb,
        lag=lags.get(process.name),
    )


def health(process: ProcessState) -> str:
    """The supervisor knows whether it ran; whether it is ready now, only the process itself."""
    from tapehouse.exchange import answers_ready

    if process.state != "ready" or process.health_port is None:
        return process.state
    return "ready" if answers_ready(process.health_port) else "not ready"


def symbols_of(state: ExchangeState) -> dict[str, dict[str, Any]]:
    """What the matchers say of their symbols; who does not answer is left out."""
    import httpx

    found: dict[str, dict[str, Any]] = {}
    for process in state.processes:
        if process.service != "matcher" or process.health_port is None:
            continue
        url = f"http://127.0.0.1:{process.health_port}/health/ready"
        try:
            answer = httpx.get(url, timeout=_ASK_TIMEOUT_S, trust_env=False)
            found |= answer.json().get("symbols", {})
        except (httpx.HTTPError, ValueError):
            continue
    return dict(sorted(found.items()))


def usage_of(pids: list[int]) -> dict[int, Use]:
    families: dict[int, list[psutil.Process]] = {}
    for pid in pids:
        try:
            process = psutil.Process(pid)
            families[pid] = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    before = {pid: _cpu_s(family) for pid, family in families.items()}
    began = time.monotonic()
    time.sleep(CPU_SAMPLE_S)
    elapsed_s = time.monotonic() - began
    return {
        pid: Use(
            cpu_percent=round(100 * max(0.0, _cpu_s(family) - before[pid]) / elapsed_s, 1),
            memory_mb=round(_memory_bytes(family) / 1_048_576, 1),
        )
        for pid, family in families.items()
    }


def _cpu_s(family: list[psutil.Process]) -> float:
    total = 0.0
    for process in family:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _memory_bytes(family: list[psutil.Process]) -> int:
    """Resident, without what is shared with others (PostgreSQL's buffers count once, with their parent)."""
    total = 0
    for place, process in enumerate(family):
        try:
            memory = process.memory_info()
        except psutil.NoSuchProcess:
            continue
        total += memory.rss if place == 0 else max(0, memory.rss - getattr(memory, "shared", 0))
    return total


def _lags(state: ExchangeState) -> dict[str, int]:
    """Lag by process name; empty when the broker does not answer."""
    from tapehouse.groups import GroupsFailed, read_groups

    servers = state.environment["TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS"]
    try:
        groups = {group.group: group for group in read_groups(servers, OperatorSettings().kafka)}
    except GroupsFailed:
        return {}
    lags: dict[str, int] = {}
    for service in SERVICES:
        group = groups.get(service.group)
        names = [process.name for process in state.processes if process.service == service.name]
        if group is None or not names:
            continue
        for reading in group.readings:
            owner = next((name for name in names if _is_member(name, reading.member)), names[0])
            lags[owner] = lags.get(owner, 0) + (reading.lag or 0)
    return lags


def _is_member(process: str, member: str | None) -> bool:
    """Members are named by service and instance, some with a word between."""
    return member is not None and member.rpartition("-")[2] == process.rpartition("-")[2]


def _show(state: ExchangeState, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("process", "pid", "health", "restarts", "uptime", "cpu", "memory", "lag")
    for column in (1, 3, 4, 5, 6, 7):
        table.columns[column].justify = "right"
    for row in rows:
        ending = "" if row.last_ending is None else f" ({row.last_ending})"
        table.add_row(
            row.name,
            _or_dash(row.pid),
            row.health,
            f"{row.restarts}{ending}",
            "-" if row.uptime_s is None else f"{row.uptime_s:.0f} s",
            "-" if row.cpu_percent is None else f"{row.cpu_percent:.0f} %",
            "-" if row.memory_mb is None else f"{row.memory_mb:.0f} MB",
            _or_dash(row.lag),
        )
    console = Console()
    console.print(table)
    console.print(f"{state.phase}; supervisor {state.pid}", highlight=False)


def _show_symbols(symbols: Mapping[str, Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not symbols:
        return
    table = Table("symbol", "state", "open orders", "sequence", "last hash", "book hash (at)", "lag")
    for column in (2, 3, 6):
        table.columns[column].justify = "right"
    for symbol, told in symbols.items():
        book = told["book_hash"]
        table.add_row(
            symbol,
            told["state"],
            str(told["open_orders"]),
            str(told["sequence"]),
            told["last_hash"][:_HASH_DIGITS],
            f"{book['hash'][:_HASH_DIGITS]} ({book['sequence']})",
            str(told["lag"]),
        )
    Console().print(table)


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)
