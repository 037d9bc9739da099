"""From `order-requests` to Postgres, without the API: every service at once, or each alone.

At once: the services run and are idle, then all requests are written in one burst; measured until the last
is settled. Alone: a service finds its whole input waiting, and is measured from when it has handled a tenth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.instruments import load_instruments
from schemas.topics import ACCOUNT_EVENTS, MATCHED_EVENTS, ORDER_REQUESTS, TRADE_EXECUTION
from tapehouse.bench import requests
from tapehouse.bench.cpu import CpuMeter, by_service
from tapehouse.bench.cpu_share import CpuShares
from tapehouse.bench.own_exchange import OwnExchange
from tapehouse.errors import OperatorError
from tapehouse.groups import read_groups

CORE = ("processor", "matcher", "recorder")
MOST_S = 600.0
LOOK_S = 0.03
WARM_UP_ORDERS = 2_000
_READS = {
    "processor": ("processor", ORDER_REQUESTS),
    "recorder": ("recorder", MATCHED_EVENTS),
    "trades": ("recorder", TRADE_EXECUTION),
}


@dataclass(frozen=True)
class Figures:
    """What one measurement found."""

    name: str
    instances: int
    orders: int
    trades: int
    seconds: float
    cpu_s: Mapping[str, float]
    """By process; `generator` is the benchmark itself."""
    more: Mapping[str, Any] = field(default_factory=dict)

    def by_service(self) -> dict[str, float]:
        """Microseconds an order, instances of one service together."""
        found = by_service(self.cpu_s)
        return {name: round(1e6 * used / max(self.orders, 1), 1) for name, used in found.items()}

    def document(self) -> dict[str, Any]:
        used = self.by_service()
        return {
            "name": self.name,
            "instances": self.instances,
            "orders": self.orders,
            "trades": self.trades,
            "seconds": round(self.seconds, 3),
            "orders_per_s": round(self.orders / self.seconds),
            "trades_per_s": round(self.trades / self.seconds),
            "cpu_us_per_order": used,
            "cpu_us_per_order_total": round(sum(used.values()), 1),
            **self.more,
        }


class Pipeline:
    """An own exchange with funded accounts and deep books."""

    def __init__(self, exchange: OwnExchange, most_orders: int, seed: int = 1) -> None:
        """`most_orders`: of one measurement."""
        self._exchange = exchange
        self._instruments = load_instruments(exchange.instruments_file)
        symbols = tuple(self._instruments.symbols)
        self._accounts = requests.accounts_for(most_orders, self._instruments, symbols)
        plan = requests.plan_of(self._instruments, symbols, self._accounts, seed)
        self._writer = requests.RequestWriter(exchange.log, exchange.topics, self._instruments, plan)

    def prepare(self) -> None:
        """Open accounts, fill books, and let every service run once."""
        self._exchange.start("recorder")
        requests.open_accounts(self._exchange.log, self._exchange.topics, self._instruments, self._accounts)
        ends = sum(self._exchange.ends(ACCOUNT_EVENTS).values())
        self._until(lambda: self._position("recorder", ACCOUNT_EVENTS) >= ends, "accounts are opened")
        for service in ("processor", "matcher"):
            self._exchange.start(service)
        self._writer.write_first()
        self._writer.write(WARM_UP_ORDERS)
        self._until(self._is_settled, "the first orders are settled")
        self._exchange.stop(*CORE)

    # -- every service at once ------------------------------------------------------------------

    def run(
        self,
        orders: int,
        instances: int,
        more: tuple[str, ...] = ("market-data",),
        shares: CpuShares | None = None,
    ) -> Figures:
        """Start so many instances of each service, let the orders through them, and stop them.

        `shares` bounds what the instances of one service have together.
        """
        chosen = (*CORE, *more)
        for service in chosen:
            self._exchange.start(service, instances)
        for service in CORE:
            self._until(lambda s=service: self._is_shared(s, instances), f"the {service}s have partitions")  # type: ignore[misc]
        if shares is not None:
            pids = self._exchange.pids()
            for service in chosen:
                shares.divide(pid for name, pid in pids.items() if name.rpartition("-")[0] == service)
        before, stored = self._position("recorder", TRADE_EXECUTION), self._exchange.stored()
        meter, own = CpuMeter(self._exchange.pids()), time.process_time()
        began = time.monotonic()
        self._writer.write(orders)
        filled_s = time.monotonic() - began
        decided = sum(self._exchange.ends(ORDER_REQUESTS).values())
        self._until(lambda: self._position("processor", ORDER_REQUESTS) >= decided, "orders are decided")
        decided_s = time.monotonic() - began
        self._until(self._is_settled, "orders are settled")
        seconds = time.monotonic() - began
        used = meter.seconds() | {"generator": time.process_time() - own}
        balance = self.balance(instances)
        self._check_refused()
        self._exchange.stop(*chosen)
        trades = self._position("recorder", TRADE_EXECUTION) - before
        more_figures = {
            "written_s": round(filled_s, 3),
            "decided_s": round(decided_s, 3),
            "instance_share": balance,
            "processor_share": round(shares.share / instances, 3) if shares else None,
            "bytes_per_order": self._exchange.stored().since(stored, orders),
        }
        return Figures("pipeline", instances, orders, trades, seconds, used, more_figures)

    def balance(self, instances: int) -> dict[str, list[float]]:
        """Return each instance's share of what its service read, in percent, largest first."""
        found = {}
        for group in read_groups(self._exchange.bootstrap_servers):
            if group.group not in CORE:
                continue
            read = [
                r for r in group.readings if r.topic in (ORDER_REQUESTS, MATCHED_EVENTS, "validated-orders")
            ]
            total = sum(r.end or 0 for r in read) or 1
            names = {member.name for member in group.members if member.partitions}
            shares = [sum(r.end or 0 for r in read if r.member == name) / total for name in names]
            found[group.group] = sorted((round(100 * share, 1) for share in shares), reverse=True)
        return found

    # -- each service alone ---------------------------------------------------------------------

    def alone(self, orders: int) -> list[Figures]:
        """Let one service after the other through the same orders."""
        trades = self._position("recorder", TRADE_EXECUTION)
        matched = sum(self._exchange.ends(MATCHED_EVENTS).values())
        self._writer.write(orders)
        found = [
            self._stage("processor", orders, lambda: self._position("processor", ORDER_REQUESTS)),
            self._stage(
                "matcher", orders, lambda: sum(self._exchange.ends(MATCHED_EVENTS).values()), matched
            ),
        ]
        self._check_refused()
        made = sum(self._exchange.ends(TRADE_EXECUTION).values()) - trades
        both = (MATCHED_EVENTS, TRADE_EXECUTION)
        settled = self._stage(
            "recorder", orders + made, lambda: sum(self._position("recorder", topic) for topic in both)
        )
        found.append(settled)
        return [self._with_trades(figures, orders, made) for figures in found]

    @staticmethod
    def _with_trades(figures: Figures, orders: int, made: int) -> Figures:
        """Say for how many orders and trades the records stand that a stage has handled."""
        if figures.name == "recorder":  # one record an order, one a trade
            share = figures.orders / (orders + made)
            return replace(figures, orders=round(orders * share), trades=round(made * share))
        return replace(figures, trades=made * figures.orders // orders if figures.name == "matcher" else 0)

    def _stage(
        self, service: str, records: int, done: Callable[[], int], start: int | None = None
    ) -> Figures:
        start = done() if start is None else start
        self._exchange.start(service)
        self._until(lambda: done() - start >= records // 10, f"{service} has begun")
        meter, own, began, first = (
            CpuMeter(self._exchange.pids()),
            time.process_time(),
            time.monotonic(),
            done(),
        )
        self._until(lambda: done() - start >= records, f"{service} has handled all")
        seconds = max(time.monotonic() - began, 1e-3)
        used = meter.seconds() | {"generator": time.process_time() - own}
        handled = start + records - first
        self._exchange.stop(service)
        return Figures(service, 1, handled, 0, seconds, used)

    # -- looking --------------------------------------------------------------------------------

    def positions(self, service: str) -> dict[int, int]:
        """Return where a service stands, by partition of its main topic."""
        if service == "matcher":
            return self._exchange.ends(MATCHED_EVENTS)
        name, topic = _READS[service]
        query = "SELECT partition, next_offset FROM positions WHERE service = %s AND topic = %s"
        return dict(self._exchange.ask(query, name, topic))

    def write_steadily(self, count: int) -> None:
        self._writer.write(count)

    def _position(self, service: str, topic: str) -> int:
        query = "SELECT sum(next_offset)::bigint FROM positions WHERE service = %s AND topic = %s"
        [(found,)] = self._exchange.ask(query, service, topic)
        return int(found or 0)

    def _is_settled(self) -> bool:
        """Decided, matched and recorded: everything that the log asks for."""
        requested = sum(self._exchange.ends(ORDER_REQUESTS).values())
        if self._position("recorder", MATCHED_EVENTS) < requested - self._refused():
            return False
        return self._position("recorder", TRADE_EXECUTION) >= sum(
            self._exchange.ends(TRADE_EXECUTION).values()
        )

    def _refused(self) -> int:
        [(found,)] = self._exchange.ask("SELECT count(*) FROM rejections")
        return int(found)

    def _check_refused(self) -> None:
        if refused := self._refused():
            raise OperatorError(f"{refused} of the benchmark's orders were refused; it measures none such")

    def _is_shared(self, service: str, instances: int) -> bool:
        groups = {group.group: group for group in read_groups(self._exchange.bootstrap_servers)}
        found = groups.get(service)
        return found is not None and len([m for m in found.members if m.partitions]) == instances

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + MOST_S
        while not condition():
            self._exchange.check()
            if time.monotonic() > deadline:
                raise OperatorError(f"not in {MOST_S:.0f} s: {what}")
            time.sleep(LOOK_S)
