"""Measure whether an order costs more the more there is: accounts, open orders, a long log, symbols.

    python -m tools.bench_growth [--sizes 1000,10000,100000,1000000] [--only book|tables|symbols]

Tables: Postgres is filled with so many accounts, wallets, open orders, ended orders and ledger rows of
others, then orders go through processor, matcher and recorder. Symbols: the same with 4 to 500 symbols.
Book: one engine of the matcher with so many resting orders. Processor microseconds an order; wall time
says nothing here.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from matcher import Input, SymbolEngine
from schemas.commands import EnterOrder
from schemas.instruments import DEFAULT_PATH as INSTRUMENTS_FILE
from schemas.instruments import load_instruments
from schemas.orders import OrderType, Side, TimeInForce
from schemas.topics import DEFAULT_PATH as TOPICS_FILE
from tapehouse.bench.made_by import made_by
from tapehouse.bench.own_exchange import OwnExchange, own_exchange
from tapehouse.bench.pipeline import Pipeline

FIRST_ACCOUNT = 10_000_000
SYMBOLS = (4, 100, 500)
SHOWN = ("processor", "matcher", "recorder", "market-data", "postgres", "kafka", "valkey")
_OTHERS = f"generate_series(%s::bigint, %s::bigint) n, LATERAL (SELECT {FIRST_ACCOUNT} + n AS account_id) a"
_ORDER = (
    "INSERT INTO orders (order_id, account_id, symbol, client_order_id, side, order_type, time_in_force,"
    " price_ticks, quantity_lots, reserved_minor, maker_fee_ppm, taker_fee_ppm, created_at_ns, updated_at_ns,"
    " ended) SELECT n * 1024 + {place}, account_id, 'BTCUSDT', 'other-' || n, 'BUY', 'LIMIT', 'GTC', 1000,"
    " 100, 100000, 0, 0, 1, 1, {ended} FROM "
)
FILL = (
    "INSERT INTO accounts SELECT account_id, 'other', 'ACTIVE', 1000, 1000, 1 FROM " + _OTHERS,
    "INSERT INTO wallets SELECT account_id, 'USDT', 1000, 1000 FROM " + _OTHERS,
    _ORDER.format(place=200, ended="NULL") + _OTHERS,
    _ORDER.format(place=201, ended="'FILLED'") + _OTHERS,
    "INSERT INTO ledger SELECT 'R', 199, n, 0, account_id, 'USDT', -1, 1, 1, 'BTCUSDT', n FROM " + _OTHERS,
)


def fill(exchange: OwnExchange, have: int, size: int) -> None:
    """Add rows of others up to the size."""
    for statement in FILL:
        exchange.database.execute(statement.encode(), (have + 1, size))
    for table in ("accounts", "wallets", "orders", "ledger"):
        exchange.database.execute(f"VACUUM ANALYZE {table}".encode())


def tables(sizes: Sequence[int], orders: int) -> list[dict[str, Any]]:
    found, have = [], 0
    with own_exchange() as exchange:
        pipeline = Pipeline(exchange, orders)
        pipeline.prepare()
        pipeline.run(orders, 1)  # so that the first size does not pay for a cold broker
        for size in sizes:
            fill(exchange, have, size)
            have = size
            found.append(measured("tables", size, pipeline, orders))
    return found


def symbols(counts: Sequence[int], orders: int) -> list[dict[str, Any]]:
    found = []
    with tempfile.TemporaryDirectory(prefix="tapehouse-growth-") as folder:
        os.chmod(folder, 0o755)
        for count in counts:
            declare(Path(folder), count)
            with own_exchange() as exchange:
                pipeline = Pipeline(exchange, orders)
                pipeline.prepare()
                pipeline.run(orders, 1)
                found.append(measured("symbols", count, pipeline, orders))
    return found


def declare(folder: Path, count: int) -> None:
    """Write topics and instruments with so many symbols, and let every process read those."""
    topics = yaml.safe_load(TOPICS_FILE.read_text())
    instruments = yaml.safe_load(INSTRUMENTS_FILE.read_text())
    for number in range(count - len(topics["symbols"])):
        name = f"S{number:03}USDT"
        topics["symbols"][name] = number % 4
        instruments["symbols"][name] = instruments["symbols"]["SOLUSDT"]
    for variable, document in (("TOPICS", topics), ("INSTRUMENTS", instruments)):
        path = folder / f"{variable.lower()}-{count}.yaml"
        path.write_text(yaml.safe_dump(document))
        os.environ[f"TAPEHOUSE_{variable}_FILE"] = str(path)


def measured(name: str, size: int, pipeline: Pipeline, orders: int) -> dict[str, Any]:
    found = pipeline.run(orders, 1).document()
    costs = "".join(f"{found['cpu_us_per_order'].get(service, 0.0):>12.1f}" for service in SHOWN)
    print(f"{name:<8}{size:>10,}{costs}", flush=True)
    return {"name": name, "size": size, "cpu_us_per_order": found["cpu_us_per_order"]}


def book(sizes: Sequence[int], commands: int) -> list[dict[str, Any]]:
    """Orders that rest, and orders that meet the best of so many resting ones."""
    found = []
    for size in sizes:
        engine = SymbolEngine(load_instruments()["BTCUSDT"])
        engine.apply([Input(0, n, enter(n, Side.SELL, 2_000_000 + n % 10_000)) for n in range(size)])
        batch: list[Input] = []
        for n in range(size, size + commands, 2):
            batch.append(Input(0, n, enter(n, Side.SELL, 1_999_000 + n % 1_000)))
            batch.append(Input(0, n + 1, enter(n + 1, Side.BUY, 2_000_000)))
        gc.freeze()
        began = time.process_time()
        engine.apply(batch)
        cost = 1e6 * (time.process_time() - began) / commands
        gc.unfreeze()
        print(f"{'book':<8}{size:>10,}{cost:>24.1f}", flush=True)
        found.append({"name": "book", "size": size, "cpu_us_per_order": {"matcher": round(cost, 2)}})
    return found


def enter(number: int, side: Side, price_ticks: int) -> EnterOrder:
    instrument = load_instruments()["BTCUSDT"]
    reserved = (
        100 * instrument.lot_minor if side is Side.SELL else instrument.notional_minor(price_ticks, 100)
    )
    return EnterOrder(
        event_id="e",
        correlation_id="c",
        causation_id="c",
        occurred_at_ns=1_700_000_000_000_000_000,
        source_partition=0,
        source_offset=number,
        account_id=1_001 + number % 5_000,
        symbol="BTCUSDT",
        order_id=number + 1,
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        client_order_id=f"a-client-order-id-{number}",
        price_ticks=price_ticks,
        reserved_minor=reserved,
        maker_fee_ppm=1_000,
        taker_fee_ppm=1_000,
        quantity_lots=100,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1000,10000,100000,1000000")
    parser.add_argument("--orders", type=int, default=4_000)
    parser.add_argument("--only", choices=("tables", "symbols", "book"))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    sizes = [int(size) for size in chosen.sizes.split(",")]
    found: list[dict[str, Any]] = []
    print(f"{'us an order':<18}" + "".join(f"{service:>12}" for service in SHOWN), flush=True)
    if chosen.only in (None, "book"):
        found += book(sizes, chosen.orders)
    if chosen.only in (None, "tables"):
        found += tables(sizes, chosen.orders)
    if chosen.only in (None, "symbols"):
        found += symbols(SYMBOLS, chosen.orders)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"made_by": made_by(), "runs": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
