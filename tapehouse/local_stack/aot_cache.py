"""Kafka's ahead-of-time cache: classes loaded and linked, and profiles of a training run (JDK 25).

Measured on two cores: the broker serves after 2.5 s of a start instead of 4.2 s, for 4.5 s of CPU instead of
7.5 s, and the first five seconds of load, on a crowded machine, have a median of 0.2 s instead of 1.0 s.
The cache is right for one JDK, one class path and one set of options only; its name says which. Without
it, or with one that does not fit, the broker starts all the same.

`python -m tapehouse.local_stack.aot_cache CACHE FOLDER` makes one: some 40 s of a broker of its own, under
load, in FOLDER, at the lowest priority. `tapehouse up` does so in the background of a quiet exchange.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

LOAD_S: Final = 20.0
LOAD_RATE: Final = 1_000
START_TIMEOUT_S: Final = 120.0
TOPIC: Final = "training"


def path(cache: Path, java: Path, options: Sequence[str], class_path: str) -> Path:
    """Where the cache for exactly these is, or would be."""
    release = (java.resolve().parent.parent / "release").read_text()
    key = hashlib.sha256("\n".join([release, *options, class_path]).encode()).hexdigest()[:12]
    return cache / "kafka" / f"broker-{key}.aot"


def option(file: Path) -> list[str]:
    """How the JVM is told of it: quietly, as it has warnings about every class it could not keep."""
    return [f"-XX:AOTCache={file}", "-Xlog:aot*=off"] if file.exists() else []


def _make(cache: Path, folder: Path) -> None:
    from tapehouse.local_stack import ports
    from tapehouse.local_stack.kafka import KafkaServer
    from tapehouse.supervisor.program import launch

    port, controller_port = ports.free_ports(2)
    server = KafkaServer(
        folder=folder,
        log_file=folder / "training.log",
        cache=cache,
        port=port,
        controller_port=controller_port,
    )
    recording, fresh = folder / "broker.aotconf", folder / "broker.aot"
    program = server.prepare(lambda present, total: None, recording=recording)
    process = launch(program)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not program.ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the training broker did not start")
        time.sleep(0.1)
    _load(server.bootstrap_servers)
    process.terminate()
    process.wait()
    subprocess.run(server.aot_creation(recording, fresh), check=True, stdin=subprocess.DEVNULL, cwd=folder)
    _publish(fresh, server.aot_cache())


def _publish(fresh: Path, cache: Path) -> None:
    """Put a finished file in its place at once; the data folder may be on another disk than the cache."""
    for left in cache.parent.glob(f"{cache.stem}.*.part"):  # of a trainer that was killed
        left.unlink(missing_ok=True)
    part = cache.with_suffix(f".{os.getpid()}.part")
    try:
        shutil.copyfile(fresh, part)
        part.replace(cache)
    finally:
        part.unlink(missing_ok=True)


def _load(bootstrap_servers: str) -> None:
    """What the exchange does to a broker: small idempotent writes, batches read, offsets committed."""
    from confluent_kafka import Consumer, KafkaException, Producer
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

    common: dict[str, Any] = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
    admin = AdminClient(common)
    admin.create_topics([NewTopic(TOPIC, 4, 1)])[TOPIC].result(60)
    producer = Producer({**common, "enable.idempotence": True, "linger.ms": 0, "compression.type": "lz4"})
    groups = [
        Consumer(
            {
                **common,
                "group.id": f"{TOPIC}-{protocol}",
                "group.protocol": protocol,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        for protocol in ("classic", "consumer")
    ]
    for consumer in groups:
        consumer.subscribe([TOPIC])
    began, sent, commits = time.monotonic(), 0, 0
    while (elapsed := time.monotonic() - began) < LOAD_S:
        for number in range(sent, int(elapsed * LOAD_RATE)):
            producer.produce(TOPIC, os.urandom(75).hex().encode(), partition=number % 4)
            sent += 1
        producer.poll(0)
        read = [len(consumer.consume(500, 0.002)) for consumer in groups]
        if elapsed > commits * 0.1 and all(read):
            commits += 1
            for consumer in groups:
                try:
                    consumer.commit(asynchronous=True)
                except KafkaException:
                    continue
    producer.flush(10)
    for consumer in groups:
        consumer.close()


def main() -> None:
    os.nice(19)
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    cache, folder = map(Path, sys.argv[1:])
    folder.mkdir(parents=True, exist_ok=True)
    _make(cache, folder)


if __name__ == "__main__":
    main()
