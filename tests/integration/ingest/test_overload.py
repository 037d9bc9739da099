"""More than can be done, a worker that is told to stop, one that is killed: what was taken is settled."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count

import httpx
import pytest

from service_runtime.failpoints import EXIT_KILLED
from tests.integration.ingest.exchange import Exchange, Trader, Worker, frozen
from tests.integration.ingest.socket_client import connected
from tests.waiting import until

pytestmark = pytest.mark.long
MOST_ORDERS, MOST_CANCELS = 4, 6
_numbers = count(1)


@pytest.fixture(scope="module")
def trader(exchange: Exchange) -> Trader:
    return exchange.trader(USDT="1000000")


def place(trader: Trader, client_order_id: str) -> httpx.Response:
    return trader.limit("BUY", "0.001", "15000", newClientOrderId=client_order_id, recvWindow=60_000)


def cancel(trader: Trader, client_order_id: str) -> httpx.Response:
    return trader.call(
        "DELETE", "order", symbol="BTCUSDT", origClientOrderId=client_order_id, recvWindow=60_000
    )


def find(trader: Trader, client_order_id: str) -> httpx.Response:
    return trader.call("GET", "order", symbol="BTCUSDT", origClientOrderId=client_order_id)


def test_overload_is_refused_before_acceptance_and_cancels_last(exchange: Exchange, trader: Trader) -> None:
    worker, base = exchange.gateway(
        13,
        TAPEHOUSE_INGEST__UNANSWERED_ORDERS=str(MOST_ORDERS),
        TAPEHOUSE_INGEST__UNANSWERED_CANCELS=str(MOST_CANCELS),
        TAPEHOUSE_INGEST__REPLY_TIMEOUT_S="0.5",
    )
    worker.start()
    with httpx.Client(timeout=60) as http, ThreadPoolExecutor(10) as pool:
        busy = replace(trader, base=base, http=http)
        until(lambda: busy.call("GET", "account").status_code == 200)
        names = [f"burst-{n}" for n in range(10)]
        with frozen(exchange.processor):
            answers = dict(zip(names, pool.map(lambda name: place(busy, name), names), strict=True))
            taken = [name for name, answer in answers.items() if answer.status_code == 504]
            refused = [name for name, answer in answers.items() if answer.status_code == 503]
            assert (len(taken), len(refused)) == (MOST_ORDERS, 10 - MOST_ORDERS)
            for name in refused:
                assert answers[name].json()["code"] == -1008
                assert answers[name].headers["retry-after"] == "1"
            assert place(busy, "late").status_code == 503, "what was given up is still under way"
            canceling = list(pool.map(lambda name: cancel(busy, name), taken[:3]))
            assert sorted(a.status_code for a in canceling) == [503, 504, 504]
            assert busy.call("GET", "account").status_code == 200
        ended = [name for name, a in zip(taken, canceling, strict=False) if a.status_code == 504]
        for name in taken:
            status = "CANCELED" if name in ended else "NEW"
            until(lambda n=name, s=status: find(trader, n).json().get("status") == s)  # type: ignore[misc]
        assert {find(trader, name).json()["code"] for name in (*refused, "late")} == {-2013}
        until(lambda: place(busy, f"after-{next(_numbers)}").status_code == 200)
    assert worker.stop() == 0


def test_a_worker_that_is_stopped_answers_every_request_it_took(exchange: Exchange, trader: Trader) -> None:
    worker, base = exchange.gateway(14)
    worker.start()
    answered: dict[str, int] = {}
    unanswered: list[str] = []

    def trade(number: int) -> None:
        """Place and cancel until the worker is gone."""
        with httpx.Client(timeout=60) as http:
            busy = replace(trader, base=base, http=http)
            for n in count():
                name = f"drain-{number}-{n}"
                try:
                    answered[name] = place(busy, name).status_code
                    cancel(busy, name)
                except httpx.TransportError:
                    if name not in answered:
                        unanswered.append(name)
                    return

    until(lambda: replace(trader, base=base).call("GET", "account").status_code == 200)
    assert worker.process is not None
    with ThreadPoolExecutor(5) as pool, connected(base, trader) as api:
        trading = [pool.submit(trade, number) for number in range(4)]
        try:
            until(lambda: len(answered) > 20)
            with frozen(exchange.processor):
                by_socket = pool.submit(api.order, "BUY", "0.001", "15000", recvWindow=60_000)
                until(lambda: _waiting(worker) == 5)
                worker.process.terminate()
                until(lambda: not worker.ready())
        finally:
            worker.process.terminate()
            code = worker.process.wait(60)
        for done in trading:
            done.result(30)
        assert api.result(by_socket.result(30))["status"] == "NEW"
    assert code == 0, worker.log_file.read_text()[-3000:]
    assert set(answered.values()) == {200}
    assert len(unanswered) <= 4
    assert {find(trader, name).json()["code"] for name in unanswered} <= {-2013}, "taken, and not answered"


@pytest.mark.parametrize(
    ("place_of_death", "stored"),
    [("ingest.before_produce", False), ("ingest.after_delivery", True), ("ingest.before_answer", True)],
)
def test_what_a_killed_worker_took_is_found_and_not_placed_again(
    exchange: Exchange, trader: Trader, place_of_death: str, stored: bool
) -> None:
    """No answer came; the same client order id finds the truth, and a retry with it makes one order."""
    worker, base = exchange.gateway(15, TAPEHOUSE_FAILPOINT=f"{place_of_death}:1")
    worker.start()
    assert worker.process is not None
    name = place_of_death.replace(".", "-")
    with httpx.Client(timeout=60) as http:
        dying = replace(trader, base=base, http=http)
        until(lambda: dying.call("GET", "account").status_code == 200)
        may_answer = place_of_death == "ingest.after_delivery"  # the reply may be here before the report
        with contextlib.suppress(httpx.TransportError) if may_answer else pytest.raises(httpx.TransportError):
            place(dying, name)
    assert worker.process.wait(60) == EXIT_KILLED
    if stored:
        until(lambda: find(trader, name).status_code == 200)
        assert place(trader, name).json()["code"] == -2010
    else:
        assert find(trader, name).json()["code"] == -2013
        assert place(trader, name).status_code == 200
    (row,) = [o for o in trader.call("GET", "openOrders").json() if o["clientOrderId"] == name]
    assert row["status"] == "NEW"
    query = {"symbol": "BTCUSDT", "limit": 1000}
    assert [o["clientOrderId"] for o in trader.call("GET", "allOrders", **query).json()].count(name) == 1


def _waiting(worker: Worker) -> int:
    health = worker.health()
    return 0 if health is None else int(health.json()["waiting"])
