"""Measure the matcher as a service, topic to topic, on a Kafka and a Valkey of its own.

    python -m tools.bench_matcher [--commands 300000] [--warmup 40] [--compiled] [--profile] [NAME=VALUE ...]

Throughput: `validated-orders` is filled first (one partition, the mix of `tools.bench_book`), then
`python -m matcher` runs through it. Commands per CPU second count all threads of that process, user and
system, from when it has handled a tenth. Latency: commands at a steady rate; how much later than a command
itself its record can be read. The broker is a JVM that has just started: it takes most of a minute of load
until what it does a thousand times a second is compiled, and that time is shown apart. --compiled runs the
service on the matcher as mypyc compiles it.
"""

from __future__ import annotations

import argparse
import math
import os
import pstats
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaTopicPartition

from schemas.topics import MATCHED_EVENTS, ORDER_REPLIES, TRADE_EXECUTION, VALIDATED_ORDERS
from service_runtime.event_log import TopicPartition
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import KafkaSettings
from tapehouse import topics
from tapehouse.local_stack import data_folder, ports
from tapehouse.local_stack.kafka import KafkaServer
from tapehouse.local_stack.valkey import ValkeyServer
from tapehouse.settings import OperatorSettings
from tapehouse.supervisor.program import Program, launch
from tools.bench_book import commands, steps
from tools.build_matcher_wheel import compile_for_service

INPUT, OUTPUT = TopicPartition(VALIDATED_ORDERS, 0), TopicPartition(MATCHED_EVENTS, 0)
_TOGETHER_S = 0.002
"""Commands of so long leave together, as a processor's do: who sends and reads shares the two cores."""
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stack:
    folder: Path
    bootstrap: str
    redis_url: str


@contextmanager
def stack(with_redis: bool) -> Iterator[Stack]:
    with ExitStack() as running:
        folder = data_folder.DataFolder(
            Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tapehouse-bench-")))
        )
        folder.create(run_as=data_folder.postgres_user())
        kafka_port, controller_port, valkey_port = ports.free_ports(3)
        kafka = KafkaServer(
            folder=folder.kafka, log_file=folder.logs / "kafka.log", cache=OperatorSettings().cache_dir,
            port=kafka_port, controller_port=controller_port,
        )  # fmt: skip
        running.enter_context(serving(kafka.prepare(lambda present, total: None)))
        url = "redis://127.0.0.1:1/0"
        if with_redis:
            valkey = ValkeyServer(
                folder=folder.valkey, log_file=folder.logs / "valkey.log",
                port=valkey_port, password=folder.secret("valkey"),
            )  # fmt: skip
            running.enter_context(serving(valkey.prepare()))
            url = valkey.url
        topics.apply(kafka.bootstrap_servers)
        yield Stack(folder.root, kafka.bootstrap_servers, url)


@contextmanager
def serving(program: Program) -> Iterator[None]:
    process = launch(program)
    try:
        deadline = time.monotonic() + program.start_timeout_s
        while not program.ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{program.name} did not start:\n{program.log_file.read_text()[-2000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(program.stop_signal)
        process.wait()


@contextmanager
def matcher(
    at: Stack, profile: Path | None, settings: Sequence[str], base: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m matcher`, with settings as `NAME=VALUE` and an environment to start from."""
    module = ["-m", "matcher"] if profile is None else ["-m", "cProfile", "-o", str(profile), "-m", "matcher"]
    environment = {
        **base,
        "TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS": at.bootstrap,
        "TAPEHOUSE_REDIS__URL": at.redis_url,
        **dict(setting.split("=", 1) for setting in settings),
    }
    with (at.folder / "matcher.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, *module], env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        if process.wait() != 0:
            print((at.folder / "matcher.log").read_text()[-3000:])


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def cpu_by_thread(pid: int) -> Counter[str]:
    """CPU seconds of each kind of thread: `python` is the matcher, `rdk:broker` librdkafka's network."""
    found: Counter[str] = Counter()
    for task in Path(f"/proc/{pid}/task").iterdir():
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        fields = rest.split()
        found[name.rstrip("0123456789")] += (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND
    return found


def awaited(record: bytes, worker: int) -> bytes:
    """Return the command as of somebody who waits for the reply."""
    return record[:-1] + b',"reply_partition":%d}' % worker


def fill(log: KafkaEventLog, records: Sequence[bytes], reply_share: float) -> None:
    """Write the commands; of so large a share somebody waits for the reply."""
    every = round(1 / reply_share) if reply_share else len(records) + 1
    given = enumerate(records, 1)
    values = (record if place % every else awaited(record, place % 4) for place, record in given)
    log.append_all(VALIDATED_ORDERS, 0, values)
    log.flush()


def throughput(at: Stack, log: KafkaEventLog, process: subprocess.Popen[bytes], number: int) -> None:
    def handled_after(wanted: int) -> int:
        while (end := log.offsets(OUTPUT)[1]) < wanted:
            if process.poll() is not None:
                raise SystemExit((at.folder / "matcher.log").read_text()[-3000:])
            time.sleep(0.02)
        return end

    first = handled_after(number // 10)
    began, used, by_thread = time.monotonic(), cpu_s(process.pid), cpu_by_thread(process.pid)
    last = handled_after(number)
    elapsed, used = time.monotonic() - began, cpu_s(process.pid) - used
    by_thread = cpu_by_thread(process.pid) - by_thread
    done = last - first
    print(f"throughput      {done / used:>12,.0f} commands per CPU second ({1e6 * used / done:.1f} us each)")
    print(f"                {done / elapsed:>12,.0f} commands per second of this machine")
    shares = ", ".join(f"{name} {1e6 * each / done:.1f}" for name, each in by_thread.most_common())
    print(f"                {'':>12} microseconds by thread: {shares}")
    replies = sum(log.offsets(TopicPartition(ORDER_REPLIES, p))[1] for p in range(4))
    trades = log.offsets(TopicPartition(TRADE_EXECUTION, 0))[1]
    print(f"                {trades / number:>12.2f} trades and {replies / number:.2f} replies a command")


class Arrivals(threading.Thread):
    """Notes when each record of a partition, from its end on, can be read."""

    def __init__(self, bootstrap: str, source: TopicPartition, start: int, number: int) -> None:
        super().__init__(daemon=True)
        self.times: list[float] = []
        self._number = number
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"bench-{source.topic}",
                "fetch.wait.max.ms": 500,
                "enable.auto.commit": False,
            }
        )
        self._consumer.assign([KafkaTopicPartition(source.topic, source.partition, start)])

    def run(self) -> None:
        while len(self.times) < self._number:
            messages = self._consumer.consume(100, 0) or [self._consumer.poll(1.0)]
            now = time.perf_counter()
            self.times += [now for message in messages if message is not None and message.error() is None]
        self._consumer.close()


def latency(at: Stack, log: KafkaEventLog, records: Sequence[bytes], rate: int, warm_up: int) -> None:
    """`warm_up` of the records come first, while the broker is compiled, and are told apart."""
    number = len(records)
    arrivals = [Arrivals(at.bootstrap, source, log.offsets(source)[1], number) for source in (INPUT, OUTPUT)]
    for each in arrivals:
        each.start()
    time.sleep(1.0)
    together = max(round(rate * _TOGETHER_S), 1)
    began = time.perf_counter()
    for place, record in enumerate(records):
        if not place % together:
            time.sleep(max(began + place / rate - time.perf_counter(), 0.0))
        log.append(VALIDATED_ORDERS, 0, awaited(record, place % 4))
        if not place % together:
            log.serve_delivery()
    for each in arrivals:
        each.join()
    added = [1_000 * (out - into) for into, out in zip(*(each.times for each in arrivals), strict=True)]
    for what, part in (("while warming", added[:warm_up]), ("added latency", added[warm_up:])):
        if part:
            part.sort()
            shown = ", ".join(
                f"p{p} {part[min(len(part) - 1, math.ceil(len(part) * p / 100))]:.2f}"
                for p in (50, 90, 99, 99.9)
            )
            print(f"{what}   {shown} ms at {rate:,} commands/s ({len(part):,} commands)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--commands", type=int, default=300_000)
    parser.add_argument("--replies", type=float, default=1.0, help="share of commands that wait for a reply")
    parser.add_argument("--rate", type=int, default=2_000, help="commands/s while latency is measured")
    parser.add_argument("--seconds", type=float, default=10.0, help="of latency; 0 leaves it out")
    parser.add_argument("--warmup", type=float, default=40.0, help="seconds at that rate before")
    parser.add_argument("--without-redis", action="store_true")
    parser.add_argument("--compiled", action="store_true", help="run the matcher as mypyc compiles it")
    parser.add_argument("--profile", action="store_true", help="run it under cProfile and show the top")
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="of the matcher's environment")
    chosen = parser.parse_args()
    warm_up = int(chosen.rate * chosen.warmup) if chosen.seconds else 0
    more = int(chosen.rate * chosen.seconds) + warm_up
    records = commands(steps(chosen.commands + more))[: chosen.commands + more]
    with stack(not chosen.without_redis) as at, ExitStack() as open_things:
        log = open_things.enter_context(KafkaEventLog(KafkaSettings(bootstrap_servers=at.bootstrap), "bench"))
        fill(log, records[: chosen.commands], chosen.replies)
        profile = at.folder / "profile" if chosen.profile else None
        base = compile_for_service(at.folder / "compiled") if chosen.compiled else os.environ
        with matcher(at, profile, chosen.settings, base) as process:
            throughput(at, log, process, chosen.commands)
            if more:
                latency(at, log, records[chosen.commands :], chosen.rate, warm_up)
        if profile is not None:
            pstats.Stats(str(profile)).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
