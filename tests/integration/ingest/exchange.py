"""A whole exchange of a test's own: broker, database, hot book, and the services as processes."""

from __future__ import annotations

import hashlib
import hmac
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import psycopg

from service_runtime.migrations import migrate
from tapehouse import topics
from tapehouse.local_stack import ports
from tests import service_process
from tests.services import ExchangePlace, Place
from tests.waiting import until

MODULES = ("processor", "matcher", "recorder", "ingest.user_data", "tapehouse.gateway", "market_data")


def early_in_a_minute(needed_s: float = 10) -> None:
    """Limits count by the minute of the clock: wait for the next one if this has not so much left."""
    left_s = 60 - time.time() % 60
    if left_s < needed_s:
        time.sleep(left_s)


@dataclass
class Worker:
    """One `python -m MODULE` with its log and its health port."""

    module: str
    env: dict[str, str]
    log_file: Path
    health_port: int
    process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> Worker:
        self.process = service_process.start(
            self.module, environment={**os.environ, **self.env}, log_file=self.log_file
        )
        if wait:
            until(self.ready, self.module)
        return self

    def health(self, name: str = "ready") -> httpx.Response | None:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.module} ended:\n{self.log_file.read_text()[-4000:]}")
        try:
            return httpx.get(f"http://127.0.0.1:{self.health_port}/health/{name}", verify=False)
        except httpx.TransportError:
            return None

    def ready(self) -> bool:
        answer = self.health()
        return answer is not None and answer.status_code == 200

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@dataclass
class Trader:
    """A client that signs as ccxt does: form body for POST, query for the rest."""

    base: str
    api_key: str
    secret: str
    account_id: int
    http: httpx.Client

    def call(self, method: str, path: str, /, **parameters: Any) -> httpx.Response:
        raw = self.sign({"timestamp": int(time.time() * 1000), **parameters})
        return self.send(method, path, raw)

    def sign(self, parameters: dict[str, Any]) -> str:
        raw = urlencode(parameters)
        signature = hmac.new(self.secret.encode(), raw.encode(), hashlib.sha256).hexdigest()
        return f"{raw}&signature={signature}"

    def send(self, method: str, path: str, raw: str, **headers: str) -> httpx.Response:
        sent = {"X-MBX-APIKEY": self.api_key, **headers}
        url = f"{self.base}/api/v3/{path}"
        if method == "POST":
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            return self.http.request(method, url, content=raw, headers={**form, **sent})
        return self.http.request(method, f"{url}?{raw}", headers=sent)

    def limit(self, side: str, quantity: str, price: str, **more: Any) -> httpx.Response:
        terms = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC"}
        return self.call("POST", "order", **{**terms, "quantity": quantity, "price": price, **more})

    def balances(self) -> dict[str, tuple[str, str]]:
        answer = self.call("GET", "account")
        assert answer.status_code == 200, answer.text
        return {row["asset"]: (row["free"], row["locked"]) for row in answer.json()["balances"]}


@dataclass
class Exchange:
    place: Place
    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    traders: dict[int, Trader] = field(default_factory=dict)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))
    base: str = ""
    admin: str = ""
    names: int = 0

    def worker(self, module: str, instance: int = 0, **more: str) -> Worker:
        health = ports.free_ports(1)[0]
        env = {
            **self.env,
            "TAPEHOUSE_INSTANCE": str(instance),
            "TAPEHOUSE_HEALTH_PORT": str(health),
            **more,
        }
        self.names += 1
        worker = Worker(module, env, self.folder / f"{module}-{self.names}.log", health)
        self.workers.append(worker)
        return worker

    @property
    def processor(self) -> subprocess.Popen[bytes]:
        (process,) = [worker.process for worker in self.workers if worker.module == "processor"]
        assert process is not None
        return process

    def gateway(self, instance: int, **more: str) -> tuple[Worker, str]:
        """A further gateway on a port of its own, not yet started, and its address."""
        port = ports.free_ports(1)[0]
        worker = self.worker("tapehouse.gateway", instance, TAPEHOUSE_PORTS__API=str(port), **more)
        return worker, f"http://127.0.0.1:{port}"

    def operator(self, method: str, path: str, body: Any = None) -> httpx.Response:
        token = (self.folder / "operator-token").read_text()
        headers = {"Authorization": f"Bearer {token}"}
        return self.http.request(method, f"{self.admin}/admin/v1/{path}", json=body, headers=headers)

    def trader(self, **funds: str) -> Trader:
        """A new account with these balances and a key."""
        opened = self.operator("POST", "accounts", {"name": "test"})
        assert opened.status_code == 201, opened.text
        account_id = opened.json()["account_id"]
        for asset, amount in funds.items():
            funded = self.operator(
                "POST", f"accounts/{account_id}/deposits", {"asset": asset, "amount": amount}
            )
            assert funded.status_code == 200, funded.text
        return self.key(account_id)

    def key(self, account_id: int, **more: Any) -> Trader:
        made = self.operator("POST", f"accounts/{account_id}/api-keys", {"label": "test", **more})
        assert made.status_code == 201, made.text
        key = made.json()
        trader = Trader(self.base, key["api_key"], key["secret"], account_id, self.http)
        until(lambda: trader.call("GET", "rateLimit/order").json() != REJECTED)
        self.traders[account_id] = trader
        return trader

    def clear_books(self) -> None:
        """Cancel what anyone still has open, so that the next test meets no order of this one."""
        until(self._nothing_open)

    def _nothing_open(self) -> bool:
        open_orders = "SELECT DISTINCT account_id, symbol FROM orders WHERE ended IS NULL"
        with psycopg.connect(self.env["TAPEHOUSE_POSTGRES__DSN"]) as connection:
            found = connection.execute(open_orders).fetchall()
        for account_id, symbol in found:
            trader = self.traders.get(account_id) or self.key(account_id)
            if trader.call("DELETE", "openOrders", symbol=symbol).status_code == 401:
                self.key(account_id)  # that key is gone, or must not trade
        return not found


REJECTED = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}


@contextmanager
def frozen(process: subprocess.Popen[bytes]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


@contextmanager
def running(folder: Path, exchange_place: ExchangePlace) -> Iterator[Exchange]:
    with exchange_place() as place:
        migrate(place.postgres, service_process.REPOSITORY / "recorder" / "migrations")
        topics.apply(place.kafka)
        api, admin, market, user_data = ports.free_ports(4)
        exchange = Exchange(place, folder)
        exchange.base, exchange.admin = f"http://127.0.0.1:{api}", f"http://127.0.0.1:{admin}"
        exchange.env = {
            "TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS": place.kafka,
            "TAPEHOUSE_POSTGRES__DSN": place.postgres,
            "TAPEHOUSE_REDIS__URL": place.redis,
            "TAPEHOUSE_PORTS__API": str(api),
            "TAPEHOUSE_PORTS__ADMIN": str(admin),
            "TAPEHOUSE_SECRETS__MASTER_KEY_FILE": str(folder / "master-key"),
            "TAPEHOUSE_SECRETS__OPERATOR_TOKEN_FILE": str(folder / "operator-token"),
            "TAPEHOUSE_GATEWAY__MARKET_DATA_URL": f"http://127.0.0.1:{market}",
            "TAPEHOUSE_MARKET_DATA__PORT": str(market),
            "TAPEHOUSE_USER_DATA__PORT": str(user_data),
            "TAPEHOUSE_LIMITS__REQUEST_WEIGHT_1M": "10000000",
            "TAPEHOUSE_LIMITS__ORDERS_10S": "1000000",
            "TAPEHOUSE_LIMITS__RAW_REQUESTS_5M": "10000000",
            "TAPEHOUSE_ACCOUNTS__REGISTRATIONS_1H": "1000000",
            "TAPEHOUSE_ACCOUNTS__ATTEMPTS_OF_ADDRESS_15M": "1000000",
        }
        try:
            for module in MODULES:
                exchange.worker(module).start(wait=False)
            for worker in exchange.workers:
                until(worker.ready, worker.module)
            yield exchange
        finally:
            exchange.http.close()
            for worker in reversed(exchange.workers):
                if worker.process is not None and worker.process.poll() is None:
                    worker.stop()
