from __future__ import annotations

import json

import pytest

from market_data.fanout import Hub, canonical
from service_runtime.socket_frames import text_frame


class Client:
    def __init__(self, *, combined: bool = False, microseconds: bool = False) -> None:
        self.microseconds = microseconds
        self.combined = combined
        self.frames: list[bytes] = []

    def push(self, frame: bytes) -> None:
        self.frames.append(frame)


def test_every_client_gets_the_same_bytes() -> None:
    hub, clients = Hub(), [Client(), Client(), Client(combined=True), Client(combined=True)]
    for client in clients:
        hub.subscribe(client, "btcusdt@trade")
    hub.streams["btcusdt@trade"].send(b'{"a":1}')
    assert clients[0].frames == [text_frame(b'{"a":1}')]
    assert clients[0].frames[0] is clients[1].frames[0]
    assert clients[2].frames[0] is clients[3].frames[0]
    assert json.loads(clients[2].frames[0][2:]) == {"stream": "btcusdt@trade", "data": {"a": 1}}


def test_an_alias_hears_the_stream_by_its_own_name() -> None:
    hub, client = Hub(), Client(combined=True)
    hub.subscribe(client, "!miniTicker@arr@1000ms")
    hub.streams["!miniTicker@arr"].send(b"[]")
    assert json.loads(client.frames[0][2:])["stream"] == "!miniTicker@arr@1000ms"


@pytest.mark.parametrize(
    ("asked", "stream"),
    [
        ("a@kline_1h@+08:00", "a@kline_1h"),
        ("a@kline_1m@+08:00", "a@kline_1m"),
        ("a@kline_1d@+08:00", "a@kline_1d@+08:00"),
        ("a@kline_1M@+08:00", "a@kline_1M@+08:00"),
        ("a@depth@1000ms", "a@depth"),
    ],
)
def test_candles_that_are_cut_alike_eight_hours_east_are_one_stream(asked: str, stream: str) -> None:
    assert canonical(asked) == stream


def test_a_stream_nobody_hears_is_gone() -> None:
    hub, client = Hub(), Client()
    hub.subscribe(client, "a@b")
    hub.unsubscribe(client, "a@b")
    hub.unsubscribe(client, "never@asked")
    assert hub.streams == {}


def test_times_are_in_microseconds_for_those_who_ask_and_made_once() -> None:
    hub = Hub()
    clients = [
        Client(),
        Client(microseconds=True),
        Client(microseconds=True),
        Client(microseconds=True, combined=True),
    ]
    for client in clients:
        hub.subscribe(client, "btcusdt@trade")
    hub.streams["btcusdt@trade"].send(b'{"e":"trade","E":5,"t":5}')
    assert json.loads(clients[0].frames[0][2:]) == {"e": "trade", "E": 5, "t": 5}
    assert json.loads(clients[1].frames[0][2:]) == {"e": "trade", "E": 5_000, "t": 5}
    assert clients[1].frames[0] is clients[2].frames[0]
    assert json.loads(clients[3].frames[0][2:])["data"] == {"e": "trade", "E": 5_000, "t": 5}
