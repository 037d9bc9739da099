"""A client of the WebSocket API that signs as ccxt does: sorted by name, not percent-encoded."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import websockets.sync.client

from tests.integration.ingest.exchange import Trader

DEADLINE_S = 60.0


class Socket:
    """One connection. What comes that is no answer to the last request is kept in `events`."""

    def __init__(self, connection: websockets.sync.client.ClientConnection, trader: Trader | None) -> None:
        self.connection = connection
        self.trader = trader
        self.events: list[dict[str, Any]] = []
        self._ids = 0

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a request as it is and return its answer."""
        self._ids += 1
        self.connection.send(json.dumps({"id": self._ids, "method": method, "params": parameters}))
        while True:
            message = self.receive()
            if message.get("id") == self._ids:
                return message
            self.events.append(message)

    def sign(self, parameters: dict[str, Any]) -> dict[str, Any]:
        assert self.trader is not None
        given = {"apiKey": self.trader.api_key, "timestamp": int(time.time() * 1000), **parameters}
        texts = {k: json.dumps(v) if isinstance(v, bool) else str(v) for k, v in given.items()}
        raw = "&".join(f"{name}={texts[name]}" for name in sorted(texts))
        signature = hmac.new(self.trader.secret.encode(), raw.encode(), hashlib.sha256).hexdigest()
        return {**given, "signature": signature}

    def signed(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.ask(method, **self.sign(parameters))

    def order(self, side: str, quantity: str, price: str, **more: Any) -> dict[str, Any]:
        terms = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC"}
        return self.signed("order.place", **{**terms, "quantity": quantity, "price": price, **more})

    def result(self, answer: dict[str, Any]) -> Any:
        assert answer["status"] == 200, answer
        return answer["result"]

    def receive(self, timeout_s: float = DEADLINE_S) -> dict[str, Any]:
        message = json.loads(self.connection.recv(timeout_s))
        assert isinstance(message, dict)
        return message

    def event(self, wanted: Callable[[dict[str, Any]], bool] = lambda event: True) -> dict[str, Any]:
        """Return the next event that is wanted; those before it are dropped."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            message = self.events.pop(0) if self.events else self.receive(deadline - time.monotonic())
            if "event" in message and wanted(message["event"]):
                assert "id" not in message
                assert "status" not in message
                found = message["event"]
                assert isinstance(found, dict)
                return found

    def named(self, name: str, **fields: Any) -> dict[str, Any]:
        """Return the next event of that name with these fields."""
        return self.event(lambda e: e["e"] == name and all(e.get(k) == v for k, v in fields.items()))


@contextmanager
def connected(base: str, trader: Trader | None = None, query: str = "", **headers: str) -> Iterator[Socket]:
    address = base.replace("http", "ws", 1) + "/ws-api/v3" + query
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    with websockets.sync.client.connect(address, compression=None, additional_headers=given) as connection:
        yield Socket(connection, trader)
