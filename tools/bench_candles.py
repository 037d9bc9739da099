"""Candles and tickers behind a steady stream of trades: cost of a trade, and how far behind they are.

    python -m tools.bench_candles [--rates 1000,5000,10000,20000] [--seconds 15] [--workers 1] [--json FILE]

An exchange of its own, of which only the servers, market data (which makes the bars) and the candle worker
run. Trades of all symbols are written to `trade-execution`, so many a second. Delay: from when a trade is
written to when a ticker that counts it is read. Behind: after the last trade, until the tickers and the
candles of the day tell it.
"""

from __future__ import annotations

import argparse
import json
import time
from bisect import bisect_left
from pathlib import Path
from typing import Any

from schemas.codec import decoder_for, encode
from schemas.events import Candle, Ticker, TradeExecuted
from schemas.instruments import Instrument, load_instruments
from schemas.orders import Side
from schemas.topics import CANDLES, TICKERS, TRADE_EXECUTION
from service_runtime.event_log import TopicPartition
from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import KafkaSettings
from tapehouse.bench.cpu import CpuMeter, by_service
from tapehouse.bench.latency import Latencies
from tapehouse.bench.made_by import made_by
from tapehouse.bench.own_exchange import OwnExchange, own_exchange
from tapehouse.errors import OperatorError

EVERY_S = 0.02
MOST_BEHIND_S = 120.0
WARM_UP = (1_000, 10.0)
SHOWN = ("market-data", "candles", "kafka", "postgres", "generator")
_decoders = {CANDLES: decoder_for(Candle), TICKERS: decoder_for(Ticker)}


class Tape:
    """Trades of one symbol, and when each was written."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self.symbol = instrument.symbol
        self.last_id = 0
        self.told = {CANDLES: 0, TICKERS: 0}
        """The last trade that each tells."""
        self._ids: list[int] = []
        self._times: list[float] = []

    def make(self, count: int, now_s: float) -> list[bytes]:
        made = [self._trade(self.last_id + 1 + n) for n in range(count)]
        self.last_id += count
        self._ids.append(self.last_id)
        self._times.append(now_s)
        return made

    def delay_s(self, trade_id: int, now_s: float) -> float:
        return now_s - self._times[bisect_left(self._ids, trade_id)]

    def _trade(self, trade_id: int) -> bytes:
        instrument, price, lots = self._instrument, 10_000 + trade_id % 100, 1_000
        return encode(
            TradeExecuted(
                event_id=f"trade-{trade_id}",
                correlation_id="bench",
                causation_id="bench",
                occurred_at_ns=time.time_ns(),
                symbol=self.symbol,
                sequence=trade_id,
                trade_id=trade_id,
                price_ticks=price,
                quantity_lots=lots,
                base_minor=lots * instrument.lot_minor,
                quote_minor=instrument.notional_minor(price, lots),
                taker_side=Side.BUY if trade_id % 2 else Side.SELL,
                buyer_order_id=2 * trade_id,
                buyer_account_id=1_001,
                buyer_fee_minor=1,
                buyer_lock_minor=instrument.notional_minor(price, lots),
                seller_order_id=2 * trade_id + 1,
                seller_account_id=1_002,
                seller_fee_minor=1,
            )
        )


class Bench:
    def __init__(self, exchange: OwnExchange) -> None:
        self._exchange = exchange
        self._tapes = {s: Tape(i) for s, i in load_instruments().symbols.items()}
        self._reader = KafkaEventLog(
            KafkaSettings(bootstrap_servers=exchange.bootstrap_servers), "bench-reader"
        )
        ends = {
            TopicPartition(topic, partition): end
            for topic in _decoders
            for partition, end in exchange.ends(topic).items()
        }
        self._reader.assign(ends)
        self._delays = Latencies()

    def run(self, rate: int, seconds: float) -> dict[str, Any]:
        """Write so many trades a second. Raises OperatorError if candles never come to the last."""
        self._delays = Latencies()
        meter, own = CpuMeter(self._exchange.pids()), time.process_time()
        began = time.monotonic()
        written = 0
        while (elapsed := time.monotonic() - began) < seconds:
            due = min(int(rate * elapsed) - written, rate)
            self._write(due)
            written += due
            self._read(EVERY_S)
        wrote_s = time.monotonic() - began
        while any(tape.told[topic] < tape.last_id for tape in self._tapes.values() for topic in _decoders):
            self._exchange.check()
            if time.monotonic() - began > wrote_s + MOST_BEHIND_S:
                raise OperatorError(f"candles do not come to the last trade in {MOST_BEHIND_S:.0f} s")
            self._read(EVERY_S)
        used = by_service(meter.seconds() | {"generator": time.process_time() - own})
        return {
            "rate": rate,
            "trades": written,
            "written_per_s": round(written / wrote_s),
            "behind_s": round(time.monotonic() - began - wrote_s, 2),
            "delay_ms": self._delays.summary_ms(),
            "cpu_us_per_trade": {name: round(1e6 * s / written, 2) for name, s in used.items()},
        }

    def close(self) -> None:
        self._reader.close()

    def _write(self, count: int) -> None:
        log, now_s = self._exchange.log, time.monotonic()
        each, left = divmod(count, len(self._tapes))
        for number, tape in enumerate(self._tapes.values()):
            if wanted := each + (number < left):
                partition = self._exchange.topics.symbols[tape.symbol]
                log.append_all(TRADE_EXECUTION, partition, tape.make(wanted, now_s), tape.symbol.encode())
        log.serve_delivery()

    def _read(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            for record in self._reader.poll(5_000, left):
                told = _decoders[record.topic](record.value)
                if isinstance(told, Candle) and told.interval != "1d":
                    continue
                tape = self._tapes[told.symbol]
                tape.told[record.topic] = max(tape.told[record.topic], told.last_trade_id)
                if isinstance(told, Ticker) and told.last_trade_id > 0:
                    self._delays.record_s(tape.delay_s(told.last_trade_id, time.monotonic()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rates", default="1000,5000,10000,20000")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found = []
    with own_exchange() as exchange:
        for service in ("market-data", "candles"):
            exchange.start(service, chosen.workers)
        bench = Bench(exchange)
        try:
            print("warming up", flush=True)
            bench.run(*WARM_UP)
            columns = "".join(f"{service:>12}" for service in SHOWN)
            print(f"{'trades/s':>10}{'written/s':>10}{'ms p50':>10}{'p99':>7}{'behind s':>9}{columns}")
            for rate in map(int, chosen.rates.split(",")):
                row = bench.run(rate, chosen.seconds)
                found.append(row)
                costs = "".join(f"{row['cpu_us_per_trade'].get(service, 0.0):>12.1f}" for service in SHOWN)
                delay = row["delay_ms"]
                print(
                    f"{rate:>10,}{row['written_per_s']:>10,}{delay['p50']:>10.0f}{delay['p99']:>7.0f}"
                    f"{row['behind_s']:>9.2f}{costs}",
                    flush=True,
                )
        finally:
            bench.close()
    if chosen.json is not None:
        document = {"made_by": made_by(), "workers": chosen.workers, "runs": found}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
