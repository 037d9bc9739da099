"""Measure the matcher: the book alone, the engine with its records, memory, snapshot and restore.

    python -m tools.bench_book [--commands 200000] [--resting 200000] [--only book] [--compiled]

Book alone: one symbol, about 1,000 resting orders; GTC 51 %, cancel 39 %, IOC 7 %, move 3 %. The same
commands go to PyPI's lightmatchingengine. All figures are CPU seconds of this process, of the best of
the rounds; commands are plain tuples, orders are made of them inside the measured time. With --compiled the
same is then measured of the matcher as mypyc compiles it.
"""

from __future__ import annotations

import argparse
import gc
import random
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import matcher.order_book
from matcher import Entry, Input, Move, Order, OrderBook, SymbolEngine
from schemas.codec import decoder_for_union, encode
from schemas.commands import VALIDATED_ORDERS, CancelRestingOrder, EnterOrder, MoveRestingOrder
from schemas.instruments import load_instruments
from schemas.orders import OrderType, Side, TimeInForce
from tools.build_matcher_wheel import compile_for_service
from tools.light_engine import LightEngine

RESTING, BATCH = 1_000, 1_000
BUY, SELL, LIMIT, GTC, IOC = Side.BUY, Side.SELL, OrderType.LIMIT, TimeInForce.GTC, TimeInForce.IOC
Step = Entry | int | Move


def steps(number: int, seed: int = 1) -> list[Step]:
    """Return commands whose cancels and moves name orders that are open: found by running them once."""
    dice, book, ids = random.Random(seed), OrderBook(), count(1)
    made: list[Step] = []
    open_ids: list[int] = []

    def price_for(side: Side, aggressive: bool) -> int:
        distance = -dice.randint(0, 5) if aggressive else dice.randint(1, 200)
        return 100_000 - distance if side is BUY else 100_000 + distance

    def play(step: Step) -> None:
        made.append(step)
        book.apply([step])

    def add(time_in_force: TimeInForce) -> None:
        side, order_id, lots = dice.choice((BUY, SELL)), next(ids), dice.randint(1, 100)
        price = price_for(side, time_in_force is IOC or dice.random() < 0.15)
        play((order_id, order_id % 50, "", side, time_in_force, price, lots))
        if order_id in book.orders:
            open_ids.append(order_id)

    def pick() -> Order:
        while True:
            place = dice.randrange(len(open_ids))
            open_ids[place], open_ids[-1] = open_ids[-1], open_ids[place]
            order = book.orders.get(open_ids.pop())
            if order is not None:
                return order

    while len(made) < number:
        kind = dice.random()
        if kind < 0.51 or len(book.orders) < RESTING:
            add(GTC)
        elif kind < 0.90:
            play(pick().order_id)
        elif kind < 0.97:
            add(IOC)
        else:
            order = pick()
            play(Move(order.order_id, price_for(order.side, dice.random() < 0.15), order.quantity_lots + 1))
            if order.order_id in book.orders:
                open_ids.append(order.order_id)
    return made


def play(made: Sequence[Step]) -> None:
    book = OrderBook()
    for start in range(0, len(made), BATCH):
        book.apply(made[start : start + BATCH])


def _order_id(step: Entry | Move) -> int:
    return step.order_id if isinstance(step, Move) else step[0]


def commands(made: Sequence[Step]) -> list[bytes]:
    """Return the steps as records of `validated-orders`."""
    instrument = load_instruments()["BTCUSDT"]
    accounts = {step[0]: step[1] for step in made if type(step) is tuple}
    records = []
    for offset, step in enumerate(made):
        order_id = step if isinstance(step, int) else _order_id(step)
        envelope: dict[str, Any] = {
            "event_id": f"command-{offset}",
            "correlation_id": f"request-{offset}",
            "causation_id": f"request-{offset}",
            "occurred_at_ns": 1_700_000_000_000_000_000 + offset,
            "source_partition": 0,
            "source_offset": offset,
            "account_id": accounts[order_id],
            "symbol": "BTCUSDT",
            "client_order_id": "a-client-order-id-000",
            "order_id": order_id,
        }
        if isinstance(step, int):
            records.append(encode(CancelRestingOrder(**envelope)))
        elif isinstance(step, Move):
            more = instrument.notional_minor(200_000, step.quantity_lots)
            terms = {"price_ticks": step.price_ticks, "quantity_lots": step.quantity_lots}
            records.append(encode(MoveRestingOrder(reserved_minor=more, **terms, **envelope)))
        else:
            _, _, _, side, time_in_force, price, lots = step
            cost = instrument.notional_minor(price, lots) if side is BUY else lots * instrument.lot_minor
            order = EnterOrder(
                side=side, order_type=LIMIT, time_in_force=time_in_force, price_ticks=price,
                quantity_lots=lots, reserved_minor=cost, maker_fee_ppm=1000, taker_fee_ppm=1000, **envelope,
            )  # fmt: skip
            records.append(encode(order))
    return records


def measure(name: str, number: int, work: Callable[[], object], rounds: int = 3) -> float:
    """Print commands per CPU second of each round: best, and least, median and most. Return the best."""
    rates = []
    for _ in range(rounds):
        gc.collect()
        start = time.process_time()
        work()
        rates.append(number / (time.process_time() - start))
    spread = f"(min {min(rates):,.0f}, median {median(rates):,.0f}, max {max(rates):,.0f})"
    print(f"{name:<22}{max(rates):>12,.0f} commands per CPU second {spread}")
    return max(rates)


def bench_book(number: int) -> None:
    made = steps(number)
    compiled = not (matcher.order_book.__file__ or "").endswith(".py")
    print(f"Python {sys.version.split()[0]}, matcher {'compiled' if compiled else 'interpreted'}")
    ours = measure("book alone", len(made), lambda: play(made))
    light = LightEngine(made)
    theirs = measure("lightmatchingengine", len(light.calls), light.play)
    print(f"{'ratio':<22}{ours / theirs:>12,.1f}")


def bench_engine(number: int) -> None:
    instrument, records = load_instruments()["BTCUSDT"], commands(steps(number))
    decode = decoder_for_union(VALIDATED_ORDERS)
    inputs = [Input(0, offset, decode(record)) for offset, record in enumerate(records)]

    def whole() -> None:
        engine = SymbolEngine(instrument)
        for start in range(0, len(records), BATCH):
            batch = enumerate(records[start : start + BATCH], start)
            engine.apply([Input(0, offset, decode(record)) for offset, record in batch])

    measure("decode alone", len(records), lambda: [decode(record) for record in records])
    measure("engine, records", len(inputs), lambda: SymbolEngine(instrument).apply(inputs))
    measure("decode and engine", len(inputs), whole)


def bench_memory(number: int) -> None:
    """Orders of as many ids, accounts and prices as an exchange has: no two share an integer."""
    instrument = load_instruments()["BTCUSDT"]
    tracemalloc.start()
    engine = SymbolEngine(instrument)
    start = 1_700_000_000_000_000_000
    for n in range(1, number + 1):
        terms = (BUY, LIMIT, GTC, 1_000 + n % 10_000, 500 + n, 500 + n, 0, 1000, start + n, n, 1000)
        engine.book.rest(Order(10**9 + n, n % 5_000, f"a-client-order-id-{n}", *terms))
    print(f"{'memory':<22}{tracemalloc.get_traced_memory()[0] / number:>12,.0f} bytes per resting order")
    tracemalloc.stop()
    for name, work in (("snapshot", engine.state), ("restore", _restoring(engine))):
        begun = time.process_time()
        work()
        seconds = (time.process_time() - begun) * 1e6 / number
        print(f"{name:<22}{seconds:>12,.2f} s per million resting orders")


def _restoring(engine: SymbolEngine) -> Callable[[], object]:
    state = engine.state()
    return lambda: SymbolEngine(engine.instrument).restore(state)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--commands", type=int, default=200_000)
    parser.add_argument("--resting", type=int, default=200_000)
    parser.add_argument("--only", choices=["book", "engine", "memory"])
    parser.add_argument("--compiled", action="store_true", help="measure the compiled matcher too")
    chosen = parser.parse_args()
    if chosen.only in (None, "book"):
        bench_book(chosen.commands)
    if chosen.only in (None, "engine"):
        bench_engine(chosen.commands // 4)
    if chosen.only in (None, "memory"):
        bench_memory(chosen.resting)
    if chosen.compiled:
        with tempfile.TemporaryDirectory() as folder:
            again = [argument for argument in sys.argv[1:] if argument != "--compiled"]
            command = [sys.executable, "-m", "tools.bench_book", *again]
            subprocess.run(command, env=compile_for_service(Path(folder)), check=True)


if __name__ == "__main__":
    main()
