"""The server on real Kafka, Postgres and Valkey, seen through real WebSocket and HTTP clients."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest
import redis
import websockets

from schemas.hot_book import key
from schemas.orders import Side
from service_runtime.event_log import TopicPartition
from tapehouse.local_stack import ports
from tests.integration.market_data.conftest import Process, World
from tests.unit.market_data.builders import Market
from tests.waiting import until

pytestmark = pytest.mark.long

DEADLINE_S = 60.0


class Server:
    """A running server and the market it shows."""

    def __init__(self, world: World, **options: str) -> None:
        self.world = world
        self.port = ports.free_ports(1)[0]
        self.options = {"TAPEHOUSE_MARKET_DATA__PORT": str(self.port), **options}
        self.process: Process = world.process("market_data", **self.options).start()

    def get(self, path: str, **params: Any) -> Any:
        answer = httpx.get(f"http://127.0.0.1:{self.port}/api/v3/{path}", params=params)
        return answer.json()

    def stream(self, path: str) -> websockets.connect:
        return websockets.connect(f"ws://127.0.0.1:{self.port}{path}", compression=None)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market("BTCUSDT", now_ms=time.time_ns() // 1_000_000)


@pytest.fixture(scope="module")
def eth() -> Market:
    return Market("ETHUSDT", now_ms=time.time_ns() // 1_000_000)


@pytest.fixture(scope="module")
def server(world: World, market: Market, eth: Market) -> Iterator[Server]:
    def open_book(opened: Market) -> None:
        for step in range(1, 30):
            opened.rest(Side.BUY, 3_000_000 - step, 50)
            opened.rest(Side.SELL, 3_000_000 + step, 50)

    world.run_market(market, open_book)
    world.run_market(eth, open_book)
    running = Server(world, TAPEHOUSE_MARKET_DATA__MESSAGES_PER_S="50")
    yield running
    assert running.process.stop() == 0


async def received(socket: websockets.ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(socket.recv(), DEADLINE_S))


async def ask(socket: websockets.ClientConnection, method: str, params: Any = None, **more: Any) -> Any:
    """Send a control frame and return its answer; events on the way are left out."""
    request = {"method": method, "id": 7, **more} | ({} if params is None else {"params": params})
    await socket.send(json.dumps(request))
    while True:
        message = await received(socket)
        if "id" in message and ("result" in message or "error" in message):
            return message


async def ask_often(socket: websockets.ClientConnection) -> None:
    for _ in range(100):
        await ask(socket, "LIST_SUBSCRIPTIONS")


async def read_to_the_end(socket: websockets.ClientConnection) -> None:
    while True:
        await asyncio.wait_for(socket.recv(), DEADLINE_S)


async def do(world: World, market: Market, action: Callable[[Market], object]) -> None:
    await asyncio.to_thread(world.run_market, market, action)


async def test_trades_reach_raw_and_combined_streams(world: World, server: Server, market: Market) -> None:
    raw_path, combined_path = "/ws/btcusdt@trade", "/stream?streams=btcusdt@trade/btcusdt@aggTrade"
    async with server.stream(raw_path) as raw, server.stream(combined_path) as combined:
        await ask(raw, "LIST_SUBSCRIPTIONS")
        await ask(combined, "LIST_SUBSCRIPTIONS")
        await do(world, market, lambda m: m.take(Side.BUY, 60, parts=2))
        events = [await received(raw) for _ in range(4)]
        messages = [await received(combined) for _ in range(6)]
    last = market.trades[-4:]
    assert [event["t"] for event in events] == [trade.trade_id for trade in last]
    assert events[0]["e"] == "trade"
    assert (events[0]["p"], events[0]["q"], events[0]["m"]) == ("30000.01000000", "0.00002500", False)
    assert [m["data"] for m in messages if m["stream"] == "btcusdt@trade"] == events
    aggregates = [m["data"] for m in messages if m["stream"] == "btcusdt@aggTrade"]
    assert [(row["f"], row["l"], row["q"]) for row in aggregates] == [
        (last[0].trade_id, last[1].trade_id, "0.00005000"),
        (last[2].trade_id, last[3].trade_id, "0.00001000"),
    ]
    assert server.get("trades", symbol="BTCUSDT", limit=4)[0]["id"] == last[0].trade_id
    assert server.get("aggTrades", symbol="BTCUSDT", limit=2)[1]["a"] == last[2].trade_id
    assert server.get("ticker/price", symbol="BTCUSDT")["price"] == events[-1]["p"]


@pytest.mark.parametrize("name", ["ethusdt@depth@100ms", "ethusdt@depth"])
async def test_snapshot_and_stream_give_the_markets_book(
    world: World, server: Server, eth: Market, name: str
) -> None:
    rng = random.Random(7)
    async with server.stream(f"/ws/{name}") as socket:
        await ask(socket, "LIST_SUBSCRIPTIONS")
        await do(world, eth, lambda m: [m.random_command(rng) for _ in range(40)])
        snapshot = server.get("depth", symbol="ETHUSDT", limit=5000)
        nonce = snapshot["lastUpdateId"]
        assert "T" not in snapshot
        assert "E" not in snapshot
        book = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        await do(world, eth, lambda m: [m.random_command(rng) for _ in range(200)])
        previous = None
        while nonce < eth.update_id:
            event = await received(socket)
            assert event["e"] == "depthUpdate"
            assert previous is None or event["U"] == previous + 1
            previous = event["u"]
            if event["u"] <= nonce:
                continue
            assert event["U"] <= nonce + 1
            for side in ("b", "a"):
                for price, quantity in event[side]:
                    if quantity == "0.00000000":
                        book[side].pop(price, None)
                    else:
                        book[side][price] = quantity
            nonce = event["u"]
    after = server.get("depth", symbol="ETHUSDT", limit=5000)
    assert book == {"b": dict(after["bids"]), "a": dict(after["asks"])}
    assert [price for price, _ in after["bids"]] == [
        f"{ticks // 100}.{ticks % 100:02d}000000" for ticks in sorted(eth.bids, reverse=True)
    ]


async def test_book_ticker_has_no_event_name_and_follows_the_best(
    world: World, server: Server, market: Market
) -> None:
    best = server.get("ticker/bookTicker", symbol="BTCUSDT")
    price_ticks, quantity = (
        int(Decimal(best["bidPrice"]) * 100),
        Decimal(best["bidQty"]) + Decimal("0.000007"),
    )
    async with server.stream("/ws/btcusdt@bookTicker/btcusdt@depth5@100ms") as socket:
        await ask(socket, "LIST_SUBSCRIPTIONS")
        await do(world, market, lambda m: m.rest(Side.BUY, price_ticks, 7))
        first = partial = None
        while first is None or partial is None or partial["bids"][0] != [first["b"], first["B"]]:
            event = await received(socket)
            first, partial = (event, partial) if "u" in event else (first, event)
    assert (first["s"], first["b"], Decimal(first["B"])) == ("BTCUSDT", best["bidPrice"], quantity)
    assert "e" not in first
    assert set(partial) == {"lastUpdateId", "bids", "asks"}
    assert server.get("ticker/bookTicker", symbol="BTCUSDT")["bidQty"] == first["B"]


async def test_control_frames(server: Server) -> None:
    async with server.stream("/ws/0") as socket:  # ccxt.pro puts a number there
        assert await ask(socket, "SUBSCRIBE", ["btcusdt@trade", "nonsense@x"]) == {"result": None, "id": 7}
        listed = await ask(socket, "LIST_SUBSCRIPTIONS", id="text")
        assert listed == {"result": ["0", "btcusdt@trade", "nonsense@x"], "id": "text"}
        assert await ask(socket, "UNSUBSCRIBE", ["nonsense@x"]) == {"result": None, "id": 7}
        assert (await ask(socket, "GET_PROPERTY", ["combined"]))["result"] is False
        assert await ask(socket, "SET_PROPERTY", ["combined", True]) == {"result": None, "id": 7}
        assert (await ask(socket, "GET_PROPERTY", ["combined"]))["result"] is True
        codes = [
            (await ask(socket, method, params))["error"]["code"]
            for method, params in (
                ("SET_PROPERTY", ["other", True]),
                ("SET_PROPERTY", ["combined", 1]),
                ("NONSENSE", []),
                ("SUBSCRIBE", "btcusdt@trade"),
            )
        ]
        assert codes == [0, 1, 2, 2]
        await socket.send("{not json")
        assert (await received(socket))["error"]["code"] == 3


async def test_times_are_in_microseconds_where_they_are_asked_for(
    world: World, server: Server, market: Market
) -> None:
    async with server.stream("/ws/btcusdt@trade?timeUnit=MICROSECOND") as socket:
        await ask(socket, "LIST_SUBSCRIPTIONS")
        await do(world, market, lambda m: m.take(Side.SELL, 1))
        event = await received(socket)
    assert event["T"] == market.trades[-1].occurred_at_ns // 1_000_000 * 1_000
    assert event["E"] > 10**15
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with server.stream("/stream?timeUnit=HOUR"):
            pass
    assert refused.value.response.status_code == 400


async def test_unknown_paths_are_refused(server: Server) -> None:
    with pytest.raises(websockets.InvalidStatus):
        async with server.stream("/other"):
            pass
    assert server.get("nothing") == {"code": -1020, "msg": "This operation is not supported."}
    refused = await asyncio.to_thread(httpx.post, f"http://127.0.0.1:{server.port}/api/v3/depth")
    assert (refused.status_code, refused.json()["code"]) == (405, -1020)


async def test_depth_waits_for_what_the_hot_book_has_seen(
    world: World, server: Server, market: Market
) -> None:
    """Read your writes: Redis knows of an update that has not come over Kafka yet."""
    client = redis.Redis.from_url(world.redis_url)
    records, target = len(market.records), market.update_id + 1
    market.rest(Side.BUY, 2_999_000, 11)
    client.hset(key("BTCUSDT", "stamp"), mapping={"sequence": market.sequence, "update_id": target})
    asking = asyncio.create_task(asyncio.to_thread(server.get, "depth", symbol="BTCUSDT", limit=5000))
    done, _ = await asyncio.wait({asking}, timeout=0.1)
    assert not done
    await asyncio.to_thread(world.write, market, records)
    snapshot = await asking
    client.flushdb()
    assert snapshot["lastUpdateId"] == target
    assert ["29990.00000000", "0.00001100"] in snapshot["bids"]


async def test_a_slow_reader_is_cut_and_others_do_not_notice(
    world: World, server: Server, market: Market
) -> None:
    other = Server(world, TAPEHOUSE_MARKET_DATA__CLIENT_BUFFER_BYTES="65536", TAPEHOUSE_INSTANCE="1")
    names = "/".join(["btcusdt@trade", "btcusdt@aggTrade"])
    slow = websockets.connect(
        f"ws://127.0.0.1:{other.port}/stream?streams={names}", compression=None, max_queue=1
    )
    async with slow as lazy, other.stream("/ws/btcusdt@trade") as quick:
        await ask(lazy, "LIST_SUBSCRIPTIONS")
        await ask(quick, "LIST_SUBSCRIPTIONS")
        lazy.transport.pause_reading()  # the client's socket fills up
        seen = 0
        while "tapehouse_stream_clients_cut_total 1.0" not in metrics(other):
            await do(world, market, lambda m: [m.trade(3_000_000, 1) for _ in range(5_000)])
            for _ in range(5_000):
                await received(quick)
            seen += 5_000
            assert seen <= 200_000
        lazy.transport.resume_reading()
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await read_to_the_end(lazy)
        assert closed.value.rcvd is None or "too slow" in closed.value.rcvd.reason
        await do(world, market, lambda m: m.trade(3_000_000, 3))
        assert (await received(quick))["q"] == "0.00000300"
    other.process.stop()


async def test_too_many_requests_end_the_connection(world: World) -> None:
    strict = Server(world, TAPEHOUSE_MARKET_DATA__MESSAGES_PER_S="2", TAPEHOUSE_INSTANCE="2")
    async with strict.stream("/ws") as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await ask_often(socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    async with strict.stream("/ws/btcusdt@trade") as socket:
        await ask(socket, "LIST_SUBSCRIPTIONS")
        stopping = asyncio.create_task(asyncio.to_thread(strict.process.stop))
        assert (await received(socket))["e"] == "serverShutdown"
        assert await stopping == 0


async def test_poison_goes_to_dead_letters_and_the_stream_goes_on(
    world: World, server: Server, market: Market
) -> None:
    async with server.stream("/ws/btcusdt@trade") as socket:
        await ask(socket, "LIST_SUBSCRIPTIONS")
        world.writer.append("matched-events", market.partition, b"\x00not json")
        world.writer.append("candles", 1, b'{"type":"Candle.v1"}')
        await do(world, market, lambda m: m.trade(2_990_000, 1))
        assert (await received(socket))["p"] == "29900.00000000"
    assert until(lambda: poisoned(world)) == {("matched-events", "decode_error"), ("candles", "decode_error")}


def poisoned(world: World) -> set[tuple[str, str]] | None:
    """Return what is in dead-letters once both letters are there."""
    source = TopicPartition("dead-letters", 0)
    low, high = world.writer.offsets(source)
    letters = [msgspec.json.decode(r.value) for batch in world.writer.read(source, low, high) for r in batch]
    found = {(letter["source_topic"], letter["reason"]) for letter in letters}
    return found if len(found) == 2 else None


def metrics(server: Server) -> str:
    return httpx.get(f"http://127.0.0.1:{server.process.health_port}/metrics").text
