from __future__ import annotations

import pytest

from market_data.stream_server import stream_names, time_unit


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/ws", ([], False)),
        ("/ws/", ([], False)),
        ("/ws/7", (["7"], False)),
        ("/ws/a@trade/b@depth@100ms", (["a@trade", "b@depth@100ms"], False)),
        ("/ws/!miniTicker%40arr?timeUnit=MICROSECOND", (["!miniTicker@arr"], False)),
        ("/stream", ([], True)),
        ("/stream?streams=a@trade/b@trade", (["a@trade", "b@trade"], True)),
        ("/stream?streams=a@kline_1d@+08:00", (["a@kline_1d@+08:00"], True)),
        ("/stream?streams=a@kline_1d@%2B08:00", (["a@kline_1d@+08:00"], True)),
        ("/ws-api/v3", None),
        ("/streams", None),
    ],
)
def test_a_path_says_what_is_asked_for(path: str, names: tuple[list[str], bool] | None) -> None:
    assert stream_names(path) == names


def test_a_time_unit_is_milliseconds_if_none_is_named() -> None:
    assert time_unit("/ws/a@trade") == "MILLISECOND"
    assert time_unit("/stream?streams=a&timeUnit=microsecond") == "microsecond"
