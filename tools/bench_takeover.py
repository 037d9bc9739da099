"""Measure how long trading stands still when a matcher dies or freezes, on a Kafka and a Valkey of its own.

    python -m tools.bench_takeover [--rounds 20] [--rate 500] [--two-owners 60]

Commands come at a steady rate on one symbol, every second one trades. A round ends or freezes the owner; its
time goes from the signal to when the first trade of an order sent after the signal can be read. Rounds:
`kill` and `stop` with a standby (SIGKILL, SIGSTOP), `cold` without, the matcher started again at once. At
last two owners work on the partition at once for some seconds. A reader that drops what it has seen and
checks the chain of hashes must then have one history with every command in it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

from matcher.handlers import MatcherHandler
from matcher.settings import MatcherSettings
from schemas.codec import decoder_for, encode
from schemas.commands import EnterOrder
from schemas.events import CommandMatched, PartitionClaimed, TradeExecuted
from schemas.instruments import load_instruments
from schemas.orders import OrderType, Side, TimeInForce
from schemas.topics import MATCHED_EVENTS, MATCHER_CLAIMS, TRADE_EXECUTION, VALIDATED_ORDERS
from service_runtime.clock import SystemClock
from service_runtime.event_log import TopicPartition
from service_runtime.hot_book import HotBook
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.sequence import MatchedSequence, TradeSequence
from service_runtime.settings import KafkaSettings
from tools.bench_matcher import Stack, stack

SYMBOL, PRICE_TICKS = "BTCUSDT", 1_000
INPUT, OUTPUT, TRADES, CLAIMS = (
    TopicPartition(topic, 0) for topic in (VALIDATED_ORDERS, MATCHED_EVENTS, TRADE_EXECUTION, MATCHER_CLAIMS)
)
PATIENCE_S = 60.0
decode_matched = decoder_for(CommandMatched)
decode_trade = decoder_for(TradeExecuted)
decode_claim = decoder_for(PartitionClaimed)


class Traders(threading.Thread):
    """Sends commands at a steady rate until told to stop; `sent_at` is by order id, from 1."""

    def __init__(self, bootstrap: str, rate: int) -> None:
        super().__init__(daemon=True)
        self.sent_at = [0.0]
        self.stopping = threading.Event()
        self._log = KafkaEventLog(KafkaSettings(bootstrap_servers=bootstrap), "bench-traders")
        self._rate = rate

    def run(self) -> None:
        began = time.monotonic()
        for order_id in count(1):
            wait = began + order_id / self._rate - time.monotonic()
            if self.stopping.wait(max(wait, 0)):
                break
            self.sent_at.append(time.monotonic())
            self._log.append(VALIDATED_ORDERS, 0, encode(order(order_id)))
            self._log.serve_delivery()
        self._log.flush()
        self._log.close()


def order(order_id: int) -> EnterOrder:
    """Odd ones sell, even ones buy what the one before them sells."""
    instrument, sells = load_instruments()[SYMBOL], order_id % 2 == 1
    name = f"bench-{order_id}"
    return EnterOrder(
        event_id=name,
        correlation_id=name,
        causation_id=name,
        occurred_at_ns=order_id,
        source_partition=0,
        source_offset=order_id,
        symbol=SYMBOL,
        account_id=1 + order_id % 50,
        order_id=order_id,
        client_order_id=name,
        side=Side.SELL if sells else Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=PRICE_TICKS,
        quantity_lots=1,
        reserved_minor=instrument.lot_minor if sells else PRICE_TICKS * instrument.tick_lot_minor,
        maker_fee_ppm=0,
        taker_fee_ppm=0,
        reply_partition=0,
    )


class Reader(threading.Thread):
    """One history of a partition, and when the trade of each taker could first be read."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(daemon=True)
        self.traded_at: dict[int, float] = {}
        self.matched, self.trades = MatchedSequence(), TradeSequence()
        self.repeated = 0
        self.fault: Exception | None = None
        self.claim: PartitionClaimed | None = None
        self.stopping = threading.Event()
        self._log = KafkaEventLog(KafkaSettings(bootstrap_servers=bootstrap), "bench-reader")
        self._log.assign({OUTPUT: 0, TRADES: 0, CLAIMS: 0})

    @property
    def sequence(self) -> int:
        position = self.matched.positions.get(SYMBOL)
        return 0 if position is None else position.sequence

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                for record in self._log.poll(500, 0.05):
                    now = time.monotonic()
                    if record.topic == MATCHED_EVENTS:
                        if not self.matched.accept(decode_matched(record.value), record.value):
                            self.repeated += 1
                    elif record.topic == TRADE_EXECUTION:
                        trade = decode_trade(record.value)
                        if self.trades.accept(trade):
                            self.traded_at[max(trade.buyer_order_id, trade.seller_order_id)] = now
                    else:
                        self.claim = decode_claim(record.value)
        except Exception as error:
            self.fault = error


class Bench:
    def __init__(self, at: Stack, traders: Traders, reader: Reader) -> None:
        self._at = at
        self._traders = traders
        self._reader = reader
        self._dice = random.Random(1)

    @contextmanager
    def process(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        environment = {
            **os.environ,
            "TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS": self._at.bootstrap,
            "TAPEHOUSE_REDIS__URL": self._at.redis_url,
        }
        with (self._at.folder / f"{arguments[0]}.log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments], env=environment, stdout=out, stderr=subprocess.STDOUT
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def until_owned(self, standby: bool, life: str = "") -> str:
        """Wait until the last claim is of such a process, of another life than given; return its life."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.check()
            claim = self._reader.claim
            if claim is not None and claim.standby == standby and claim.holder != life:
                return claim.holder
            if time.monotonic() > deadline:
                raise SystemExit(f"nobody claimed the partition in {PATIENCE_S:.0f} s: see {self._at.folder}")
            time.sleep(0.01)

    def check(self) -> None:
        if self._reader.fault is not None:
            raise SystemExit(f"the reader's history broke: {self._reader.fault}")

    def new_trade_after(self, moment: float) -> float:
        """Return the seconds from a moment to the first trade of an order sent after it."""
        first = len(self._traders.sent_at)
        while first > 1 and self._traders.sent_at[first - 1] > moment:
            first -= 1
        deadline = moment + PATIENCE_S
        while time.monotonic() < deadline:
            self.check()
            found = [self._reader.traded_at.get(taker) for taker in (first, first + 1, first + 2, first + 3)]
            times = [each for each in found if each is not None]
            if times:
                return min(times) - moment
            time.sleep(0.002)
        raise SystemExit(f"no trade within {PATIENCE_S:.0f} s")

    def with_standby(self, rounds: int, number: signal.Signals) -> list[float]:
        times, life = [], ""
        with self.process("matcher.standby"):
            for _ in range(rounds):
                with self.process("matcher") as owner:
                    life = self.until_owned(standby=False, life=life)
                    times += [self._round(owner, number)] if number is signal.SIGKILL else []
                    if number is signal.SIGSTOP:
                        times += self._freezes(owner)
        return times

    def _round(self, owner: subprocess.Popen[bytes], number: signal.Signals) -> float:
        time.sleep(self._dice.uniform(4.0, 6.0))
        moment = time.monotonic()
        owner.send_signal(number)
        return self.new_trade_after(moment)

    def _freezes(self, owner: subprocess.Popen[bytes]) -> list[float]:
        """One owner, frozen and woken up five times."""
        times = []
        for _ in range(5):
            times.append(self._round(owner, signal.SIGSTOP))
            self.until_owned(standby=True)
            time.sleep(2.5)
            owner.send_signal(signal.SIGCONT)
            self.until_owned(standby=False)
        return times

    def cold(self, rounds: int) -> list[float]:
        times, life = [], ""
        for _ in range(rounds):
            with self.process("matcher") as owner:
                life = self.until_owned(standby=False, life=life)
                time.sleep(self._dice.uniform(1.0, 2.0))
                moment = time.monotonic()
                owner.kill()
                owner.wait()
            with self.process("matcher"):
                times.append(self.new_trade_after(moment))
                life = self.until_owned(standby=False, life=life)
        return times

    def two_owners(self, seconds: float) -> None:
        before = self._reader.repeated
        with ExitStack() as owners:
            for name in ("one", "two"):
                owners.enter_context(self.process("tools.bench_takeover", "--own", name))
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                self.check()
                time.sleep(0.1)
        share = (self._reader.repeated - before) / max(seconds * self._traders._rate, 1)
        print(f"two owners      {seconds:.0f} s, {share:.0%} of the records written twice")


def own(name: str) -> None:
    """Work on the partition, whoever else does."""
    settings = MatcherSettings()
    log = KafkaEventLog(settings.kafka, f"bench-owner-{name}")
    handler = MatcherHandler(settings, log, HotBook(settings.redis), SystemClock(), standby=True)
    log.assign(handler.on_assigned([INPUT]))
    while True:
        batch = log.poll(settings.max_batch, 0.2)
        if batch:
            handler.handle(batch)
        handler.idle()
        time.sleep(settings.batch_interval_ms / 1_000)


def show(name: str, times: list[float]) -> None:
    if times:
        found = sorted(1_000 * each for each in times)
        p99 = found[min(len(found) - 1, round(0.99 * len(found)))]
        print(
            f"{name:<15} min {found[0]:.0f}, p50 {statistics.median(found):.0f}, p99 {p99:.0f}, "
            f"max {found[-1]:.0f} ms ({len(found)} times); load {os.getloadavg()[0]:.1f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="kills with a standby")
    parser.add_argument("--freezes", type=int, default=4, help="processes, each frozen five times")
    parser.add_argument("--cold", type=int, default=5, help="restarts without a standby")
    parser.add_argument("--two-owners", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--rate", type=int, default=500, help="commands/s")
    parser.add_argument("--own", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.own:
        own(chosen.own)
    with stack(with_redis=True) as at:
        traders, reader = Traders(at.bootstrap, chosen.rate), Reader(at.bootstrap)
        bench = Bench(at, traders, reader)
        for thread in (traders, reader):
            thread.start()
        show("kill", bench.with_standby(chosen.rounds, signal.SIGKILL))
        show("stop", bench.with_standby(chosen.freezes, signal.SIGSTOP))
        show("cold", bench.cold(chosen.cold))
        bench.two_owners(chosen.two_owners)
        traders.stopping.set()
        traders.join()
        sent = len(traders.sent_at) - 1
        with bench.process("matcher"):
            deadline = time.monotonic() + PATIENCE_S
            while reader.sequence < sent and time.monotonic() < deadline:
                bench.check()
                time.sleep(0.05)
        seen = f"{reader.sequence:,} of {sent:,} commands, one chain"
        print(f"history         {seen}; {reader.repeated:,} records repeated")
        reader.stopping.set()
        reader.join()
        if reader.sequence != sent:
            raise SystemExit("the history is not complete")


if __name__ == "__main__":
    main()
