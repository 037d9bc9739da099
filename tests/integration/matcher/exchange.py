"""A broker and a Redis of our own, matcher processes on them, and a look at what they wrote."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from schemas.codec import decoder_for, encode
from schemas.events import CommandMatched, TradeExecuted
from schemas.topics import MATCHED_EVENTS, TRADE_EXECUTION, VALIDATED_ORDERS, load_topics
from service_runtime.event_log import TopicPartition
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.sequence import MatchedSequence, TradeSequence
from service_runtime.settings import KafkaSettings
from tapehouse.local_stack.ports import free_ports
from tests import service_process
from tests.unit.matcher.orders import Desk
from tests.waiting import until

_decode_matched = decoder_for(CommandMatched)
_decode_trade = decoder_for(TradeExecuted)


@dataclass
class MatcherProcess:
    """`python -m matcher`, or a standby."""

    popen: subprocess.Popen[bytes]
    health: str
    log_file: Path

    def kill(self) -> None:
        self.popen.send_signal(signal.SIGCONT)
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> int:
        self.popen.terminate()
        return self.popen.wait(60)

    def symbols(self) -> dict[str, Any]:
        """Return what it says of its symbols; empty while it is not ready."""
        return dict(self.told().get("symbols", {}))

    def told(self) -> dict[str, Any]:
        try:
            answer = httpx.get(f"{self.health}/health/ready", timeout=5)
        except httpx.TransportError:
            assert self.popen.poll() is None, self.log_file.read_text()[-3000:]
            return {}
        return dict(answer.json()) if answer.status_code == 200 else {}

    def until_says(self, text: str) -> None:
        until(lambda: text in self.log_file.read_text(), f"its log to say {text!r}")

    def until_sequence(self, symbol: str, sequence: int) -> None:
        until(lambda: self.symbols().get(symbol, {}).get("sequence") == sequence, f"{symbol} {sequence}")


@dataclass
class Exchange:
    bootstrap: str
    redis_url: str
    folder: Path
    processes: list[MatcherProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = KafkaEventLog(KafkaSettings(bootstrap_servers=self.bootstrap), "test")

    def start(self, module: str = "matcher", instance: int = 0, **environment: str) -> MatcherProcess:
        port, log_file = free_ports(1)[0], self.folder / f"matcher-{len(self.processes)}.log"
        settings = {
            "TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "TAPEHOUSE_KAFKA__SESSION_TIMEOUT_MS": "1000",
            "TAPEHOUSE_REDIS__URL": self.redis_url,
            "TAPEHOUSE_HEALTH_PORT": str(port),
            "TAPEHOUSE_INSTANCE": str(instance),
            **environment,
        }
        popen = service_process.start(module, environment={**os.environ, **settings}, log_file=log_file)
        process = MatcherProcess(popen, f"http://127.0.0.1:{port}", log_file)
        self.processes.append(process)
        return process

    def send(self, *desks: Desk, start: int = 0, end: int | None = None) -> None:
        """Write commands start..end of each desk to its symbol's partition."""
        for desk in desks:
            partition = load_topics().partition_of_symbol(desk.instrument.symbol)
            for given in desk.inputs[start:end]:
                self.log.append(VALIDATED_ORDERS, partition, encode(given.command))
        self.log.flush()

    def end(self, topic: str, symbol: str = "BTCUSDT") -> int:
        return self.log.offsets(TopicPartition(topic, load_topics().partition_of_symbol(symbol)))[1]

    def until_end(self, topic: str, end: int, partition: int = 0) -> None:
        source = TopicPartition(topic, partition)
        until(lambda: self.log.offsets(source)[1] >= end, f"{topic} to reach {end}")

    def values(self, topic: str, symbol: str) -> list[bytes]:
        source = TopicPartition(topic, load_topics().partition_of_symbol(symbol))
        batches = self.log.read(source, *self.log.offsets(source))
        return [record.value for batch in batches for record in batch]

    def all_values(self, topic: str) -> list[bytes]:
        """Return what is in the topic's first partition."""
        source = TopicPartition(topic, 0)
        batches = self.log.read(source, *self.log.offsets(source))
        return [record.value for batch in batches for record in batch]

    def history(self, symbol: str) -> list[CommandMatched]:
        """Return the records as a checking reader sees them; it raises at a gap or a broken chain."""
        reader, found = MatchedSequence(), []
        for value in self.values(MATCHED_EVENTS, symbol):
            record = _decode_matched(value)
            if reader.accept(record, value):
                found.append(record)
        return found

    def last_trade(self, symbol: str) -> int:
        reader = TradeSequence()
        for value in self.values(TRADE_EXECUTION, symbol):
            reader.accept(_decode_trade(value))
        return reader.positions.get(symbol, 0)

    def close(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.kill()
        self.log.close()
