"""The simulated Redis is as forgetful as the real one, and no more."""

from __future__ import annotations

from schemas.hot_book import key
from service_runtime.book_change import BookChange
from tests.simulation.exchange.sim_redis import SimHotBook, SimRedis

_SYMBOL = "BTCUSDT"
_EXPIRES_NS = 10_000_000_000


class Undisturbed:
    """A client to whom nothing happens."""

    def reach(self, place: str) -> None: ...

    def pause(self, most_ns: int) -> None: ...

    def strikes(self, place: str) -> bool:
        return False


class Server(SimRedis):
    def __init__(self) -> None:
        self.time_ns = 0
        super().__init__(lambda: self.time_ns)


def part(building: str, *, ends: bool) -> BookChange:
    return BookChange(
        symbol=_SYMBOL,
        first_sequence=1,
        sequence=1,
        record_hash="0f",
        partition=0,
        offset=0,
        update_id=0,
        trade_id=0,
        building=building,
        begins=True,
        ends=ends,
    )


def test_a_book_half_written_that_comes_back_holds_others_up_no_longer_than_it_would_have() -> None:
    server = Server()
    hot = SimHotBook(server, Undisturbed())
    assert hot.apply([part("first", ends=False)]) == {}
    old = server.kept()
    server.time_ns = _EXPIRES_NS // 2
    assert server.replace(key(_SYMBOL, ""), old)
    assert hot.apply([part("second", ends=True)]) == {_SYMBOL: False}
    server.time_ns = _EXPIRES_NS
    assert hot.apply([part("second", ends=True)]) == {}
    assert hot.stamps([_SYMBOL]) == {_SYMBOL: (1, "0f")}


def test_what_is_replaced_is_as_it_was_and_others_stay() -> None:
    server = Server()
    server.keys = {"hot:{A}:stamp": {"sequence": "1"}, "hot:{B}:stamp": {"sequence": "7"}}
    old = server.kept()
    server.keys["hot:{A}:stamp"]["sequence"] = "2"
    server.keys["hot:{B}:stamp"]["sequence"] = "8"
    server.keys["hot:{A}:orders"] = {"1": b"{}"}
    assert server.replace("hot:{A}:", old)
    assert server.keys == {"hot:{A}:stamp": {"sequence": "1"}, "hot:{B}:stamp": {"sequence": "8"}}
    server.keys["hot:{A}:stamp"]["sequence"] = "3"
    assert old.keys["hot:{A}:stamp"] == {"sequence": "1"}
