"""From costs and a wanted rate to partitions, instances, servers, network and storage; pure.

Every figure comes with the arithmetic it came from. What the exchange cannot do at any size is a limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

from schemas.topics import (
    LEG_STRIDE,
    MATCHED_EVENTS,
    ORDER_REPLIES,
    ORDER_REQUESTS,
    TRADE_EXECUTION,
    VALIDATED_ORDERS,
)
from tapehouse.capacity.costs import Costs

MOST_BUSY = 0.7
"""No processor is planned busier than this: a failure of one of several must be borne by the others."""
DAY_S = 86_400
BROKER_CORES = 8
DATABASE_CORES = 64
DISK_FREE = 1.3
BARS_A_SECOND = 4
"""Of a symbol that trades all the time: one every 250 ms."""
READERS = {
    ORDER_REQUESTS: ("processor",),
    VALIDATED_ORDERS: ("matcher",),
    MATCHED_EVENTS: ("recorder", "market-data", "every market-data", "user-data"),
    TRADE_EXECUTION: ("recorder", "market-data"),
    ORDER_REPLIES: ("ingest",),
}
"""Who reads a topic: `every x` is one copy more for each further instance of x."""
BY_SYMBOL = ("matcher", "recorder", "market-data")
PYTHON_SERVICES = ("ingest", "processor", "matcher", "recorder", "market-data", "user-data")
ONE_OF_A_KIND = ("user-data",)


class Impossible(ValueError):
    """No number of machines gives what is wanted."""


@dataclass(frozen=True)
class Demand:
    rate: float
    """Orders a second."""
    symbols: int
    p99_ms: float
    replication: int = 3
    days: float = 30.0
    """How long the log is kept on the brokers' own disks."""
    hottest: float = 0.1
    """Share of the busiest symbol."""


@dataclass(frozen=True)
class Line:
    what: str
    arithmetic: str
    value: float
    unit: str


@dataclass
class Plan:
    demand: Demand
    busy: float
    """How busy a processor may be."""
    instances: dict[str, int] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)

    def add(self, what: str, arithmetic: str, value: float, unit: str) -> float:
        self.lines.append(Line(what, arithmetic, value, unit))
        return value

    def value(self, what: str) -> float:
        """Raises KeyError."""
        for line in self.lines:
            if line.what == what:
                return line.value
        raise KeyError(what)


def plan(demand: Demand, costs: Costs) -> Plan:
    """Raises Impossible."""
    found = Plan(demand, _busy(demand, costs))
    found.add(
        "busy",
        f"an answer takes p99 {costs.answer_p99_ms:g} ms when nothing waits and 1/(1 - busy) times that when"
        f" something does: 1 - {costs.answer_p99_ms:g}/{demand.p99_ms:g}, at most {MOST_BUSY:g}",
        found.busy,
        "of a processor",
    )
    for section in (
        _services,
        _candles,
        _partitions,
        _hottest_symbol,
        _brokers,
        _network,
        _storage,
        _database,
        _valkey,
    ):
        section(found, costs)
    return found


def _busy(demand: Demand, costs: Costs) -> float:
    if demand.rate <= 0 or demand.symbols < 1 or not 0 < demand.hottest <= 1 or demand.replication < 1:
        raise Impossible("a rate above 0, a symbol at least and a share of the busiest up to 1 are needed")
    if demand.p99_ms <= costs.answer_p99_ms:
        raise Impossible(
            f"p99 {demand.p99_ms:g} ms: an answer takes {costs.answer_p99_ms:g} ms when the machines are "
            "idle, which more of them does not change"
        )
    return round(min(MOST_BUSY, 1 - costs.answer_p99_ms / demand.p99_ms), 3)


def _cores(found: Plan, name: str, us: float) -> int:
    rate = found.demand.rate
    used = rate * us / 1e6
    whole = max(1, ceil(round(used / found.busy, 9)))
    text = f"{rate:,.0f}/s x {us:g} us = {used:,.2f} processors; / {found.busy:g} = {used / found.busy:,.2f}"
    return int(found.add(name, text, whole, "processors"))


def _services(found: Plan, costs: Costs) -> None:
    """A service's process keeps one processor busy at most."""
    for name in PYTHON_SERVICES:
        instances = _cores(found, name, costs.cpu_us_per_order[name])
        if name in ONE_OF_A_KIND and instances > 1:
            found.limits.append(f"{name} is one process today; {instances} would be needed")
        if name in ("processor", *BY_SYMBOL):
            most = LEG_STRIDE if name == "processor" else found.demand.symbols
            why = (
                "an order id has room for so many partitions"
                if name == "processor"
                else "one for each symbol"
            )
            if instances > most:
                found.limits.append(f"{name}: {instances} instances are needed, {most} can have work ({why})")
                instances = most
        found.instances[name] = instances
    us, rate = costs.cpu_us_per_order["market-data"], found.demand.rate
    if rate * us > 1e6 * found.busy:
        found.limits.append(
            "each market-data process reads every matched event, and one follows"
            f" {1e6 * found.busy / us:,.0f} orders/s: beyond that its view must be divided by symbol"
        )


def _candles(found: Plan, costs: Costs) -> None:
    symbols, us = found.demand.symbols, costs.candle_us_per_bar
    used = symbols * BARS_A_SECOND * us / 1e6
    instances = max(1, ceil(round(used / found.busy, 9)))
    text = (
        f"{symbols} symbols x {BARS_A_SECOND} bars/s x {us:g} us = {used:,.2f} processors; / {found.busy:g}"
    )
    found.instances["candles"] = int(found.add("candles", text, instances, "processors"))


def _partitions(found: Plan, costs: Costs) -> None:
    """Twice the instances, so that one more instance finds work to take over; a power of two."""
    processors = found.instances["processor"]
    found.partitions[ORDER_REQUESTS] = _power_of_two(2 * processors, LEG_STRIDE)
    found.add(
        f"partitions of {ORDER_REQUESTS}",
        f"2 x {processors} processors, up to a power of two, from 4 to {LEG_STRIDE}",
        found.partitions[ORDER_REQUESTS],
        "partitions",
    )
    most = max(found.instances[name] for name in BY_SYMBOL)
    symbols = found.demand.symbols
    wanted = min(_power_of_two(2 * most, 1 << 20), max(symbols, most))
    for topic in (VALIDATED_ORDERS, MATCHED_EVENTS, TRADE_EXECUTION):
        found.partitions[topic] = wanted
        found.add(
            f"partitions of {topic}",
            f"2 x {most} (most of {', '.join(BY_SYMBOL)}), up to a power of two; {symbols} symbols at most",
            wanted,
            "partitions",
        )
    found.partitions[ORDER_REPLIES] = _power_of_two(found.instances["ingest"], 1 << 20)
    found.add(
        f"partitions of {ORDER_REPLIES}",
        f"one for each of {found.instances['ingest']} ingest workers, up to a power of two",
        found.partitions[ORDER_REPLIES],
        "partitions",
    )


def _hottest_symbol(found: Plan, costs: Costs) -> None:
    """A symbol is matched by one process: the order of its book is one order."""
    demand, us = found.demand, costs.cpu_us_per_order["matcher"]
    most = 1e6 * found.busy / us
    wanted = demand.rate * demand.hottest
    found.add("busiest symbol", f"{demand.rate:,.0f}/s x {demand.hottest:.0%}", wanted, "orders/s")
    found.add("one symbol carries", f"1,000,000 us x {found.busy:g} / {us:g} us", round(most), "orders/s")
    if wanted > most:
        found.limits.append(
            f"the busiest symbol gets {wanted:,.0f} orders/s, one matcher carries {most:,.0f}: "
            "a symbol cannot be divided, so its matcher must get faster"
        )


def _brokers(found: Plan, costs: Costs) -> None:
    demand = found.demand
    us = costs.cpu_us_per_order["kafka"]
    used = demand.rate * us * demand.replication / 1e6
    cores = ceil(round(used / found.busy, 9))
    found.add(
        "broker processors",
        f"{demand.rate:,.0f}/s x {us:g} us x {demand.replication} replicas = {used:,.2f}; / {found.busy:g}",
        cores,
        "processors",
    )
    brokers = max(demand.replication, ceil(cores / BROKER_CORES))
    found.add(
        "brokers", f"{cores} / {BROKER_CORES} a broker, {demand.replication} at least", brokers, "brokers"
    )


def _network(found: Plan, costs: Costs) -> None:
    rate, copies = found.demand.rate, found.demand.replication - 1
    written = sum(costs.log_bytes_per_order.values())
    into = found.add(
        "brokers read from producers",
        f"{rate:,.0f}/s x {written:,.0f} bytes of all topics",
        rate * written / 1e6,
        "MB/s",
    )
    between = found.add("between brokers", f"{into:,.1f} MB/s x {copies}", into * copies, "MB/s")
    read = sum(bytes_ * _readers(found, topic) for topic, bytes_ in costs.log_bytes_per_order.items())
    out = found.add(
        "brokers send to readers",
        f"{rate:,.0f}/s x {read:,.0f} bytes, each topic times its readers",
        rate * read / 1e6,
        "MB/s",
    )
    each = found.value("brokers")
    total = into + 2 * between + out
    found.add(
        "network of one broker",
        f"({into:,.1f} + 2 x {between:,.1f} + {out:,.1f}) MB/s / {each:.0f} x 8",
        total / each * 8 / 1000,
        "Gbit/s",
    )


def _readers(found: Plan, topic: str) -> int:
    copies = 0
    for reader in READERS.get(topic, ("market-data",)):
        every = reader.startswith("every ")
        copies += found.instances[reader.removeprefix("every ")] - 1 if every else 1
    return copies


def _storage(found: Plan, costs: Costs) -> None:
    rate, demand = found.demand.rate, found.demand
    written = sum(size for topic, size in costs.log_bytes_per_order.items() if topic != ORDER_REPLIES)
    day = found.add(
        "log of a day",
        f"{rate:,.0f}/s x {written:,.0f} bytes x {DAY_S:,} s x {demand.replication} replicas",
        rate * written * DAY_S * demand.replication / 1e12,
        "TB",
    )
    found.add(
        "brokers' disks",
        f"{day:,.2f} TB x {demand.days:g} days x {DISK_FREE:g} (room)",
        day * demand.days * DISK_FREE,
        "TB",
    )


def _database(found: Plan, costs: Costs) -> None:
    rate = found.demand.rate
    cores = _cores(found, "postgres", costs.cpu_us_per_order["postgres"])
    shards = ceil(cores / DATABASE_CORES)
    most = DATABASE_CORES * found.busy * 1e6 / costs.cpu_us_per_order["postgres"]
    found.add("databases", f"{cores} / {DATABASE_CORES} processors a server", shards, "primaries")
    if shards > 1:
        found.limits.append(
            f"{shards} databases are needed and the exchange has one: beyond {most:,.0f} orders/s accounts "
            "must be divided among several"
        )
    wal, size = costs.wal_bytes_per_order, costs.postgres_bytes_per_order
    found.add("write-ahead log", f"{rate:,.0f}/s x {wal:,.0f} bytes", rate * wal / 1e6, "MB/s")
    found.add(
        "tables of a day",
        f"{rate:,.0f}/s x {size:,.0f} bytes x {DAY_S:,} s",
        rate * size * DAY_S / 1e12,
        "TB",
    )


def _valkey(found: Plan, costs: Costs) -> None:
    servers = _cores(found, "valkey", costs.cpu_us_per_order["valkey"])
    if servers > 1:
        found.limits.append(
            f"the hot book needs {servers} Valkey servers and the exchange knows one address: beyond "
            f"{found.busy * 1e6 / costs.cpu_us_per_order['valkey']:,.0f} orders/s its symbols must be divided"
        )


def _power_of_two(least: int, most: int) -> int:
    return min(max(4, 1 << (least - 1).bit_length()), most)
