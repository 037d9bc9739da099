"""The running exchange as a benchmark sees it: its limits, its prices, its processes, its audit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.instruments import Instruments
from schemas.money import parse_decimal
from schemas.public_errors import UNKNOWN_ORDER
from service_runtime.kafka_log import KafkaEventLog
from tapehouse.audit.audit import Options, audit
from tapehouse.bench.order_plan import Market
from tapehouse.demo.settings import DemoSettings
from tapehouse.errors import OperatorError
from tapehouse.operator_client import OperatorClient, TradingAccount
from tapehouse.public_client import PublicClient, Refused
from tapehouse.supervisor import state_file
from tapehouse.usual_prices import USUAL_PRICES

FUNDS = {"USDT": "50000000", "BTC": "100000", "ETH": "1000000", "SOL": "10000000"}
"""Little enough for 1,800 accounts on one exchange: what all have of an asset fits 63 bits."""
ORDER_WEIGHT = 1


async def markets(client: PublicClient, instruments: Instruments, symbols: Sequence[str]) -> list[Market]:
    """Return each symbol's market around its last price, or where it usually trades."""
    found = []
    for symbol in symbols:
        instrument = instruments.get(symbol)
        if instrument is None:
            raise OperatorError(f"there is no symbol {symbol}")
        ticker = await client.get("/api/v3/ticker/price", symbol=symbol)
        last = parse_decimal(ticker["price"], 8)
        usual = parse_decimal(USUAL_PRICES.get(symbol, "100"), 8)
        found.append(Market.around(instrument, (last or usual) // instrument.tick_e8))
    return found


async def check_limits(client: PublicClient, rate: float, seconds: float) -> None:
    """Raises OperatorError when the exchange would refuse the load for its rate."""
    limits = (await client.get("/api/v3/exchangeInfo"))["rateLimits"]
    of_type = {row["rateLimitType"]: row["limit"] for row in limits}
    a_minute = int(rate * min(seconds, 60)) * ORDER_WEIGHT
    five_minutes = int(rate * min(seconds, 300))
    if a_minute * 2 > of_type["REQUEST_WEIGHT"] or five_minutes * 2 > of_type["RAW_REQUESTS"]:
        raise OperatorError(
            f"the exchange allows one address {of_type['REQUEST_WEIGHT']} of weight a minute and "
            f"{of_type['RAW_REQUESTS']} requests in 5 minutes, too little for {rate:g} orders/s. "
            "Start it with "
            'TAPEHOUSE_LIMITS=\'{"request_weight_1m":10000000,"raw_requests_5m":50000000,'
            '"orders_10s":1000000,"orders_1d":100000000}\''
        )


async def open_accounts(settings: DemoSettings, run: str, count: int) -> list[TradingAccount]:
    """Open and fund accounts of this run."""
    found = []
    async with OperatorClient.with_token_file(
        settings.admin_url, settings.secrets.operator_token_file
    ) as operator:
        for number in range(1, count + 1):
            name = f"{run}-{number}"
            account = await operator.new_key(name, await operator.open_account(name))
            await operator.fund(account, FUNDS, run)
            found.append(account)
    return found


async def cancel_all(
    settings: DemoSettings, accounts: Sequence[TradingAccount], symbols: Sequence[str]
) -> None:
    """Leave no order of the run to those who trade after it."""
    for account in accounts:
        async with PublicClient(settings.api_url, account.api_key, account.secret) as client:
            resting = await client.signed("GET", "/api/v3/openOrders")
            for symbol in {order["symbol"] for order in resting}.intersection(symbols):
                try:
                    await client.signed("DELETE", "/api/v3/openOrders", symbol=symbol)
                except Refused as refusal:
                    if refusal.code != UNKNOWN_ORDER.code:  # the last one ended meanwhile
                        raise


def processes(settings: DemoSettings) -> dict[str, int]:
    """Return name and pid of everything that runs: the exchange's processes, and this generator."""
    run = settings.secrets.operator_token_file.parent.parent / "run"
    state = state_file.running(run)
    found = {} if state is None else {p.name: p.pid for p in state.processes if p.pid is not None}
    return {**found, "generator": os.getpid()}


def run_audit(settings: DemoSettings, journal: Path) -> dict[str, Any]:
    """Return what the audit says of everything, the journal of this run included."""
    with KafkaEventLog(settings.kafka, "tapehouse-bench-audit") as log:
        report = audit(settings, log, Options(journal=journal))
    text = "; ".join(f"{name} {checked}" for name, checked in sorted(report.verdicts.items()))
    return {
        "clean": report.clean,
        "text": text if report.difference is None else str(report.difference),
        "records": report.records,
    }
