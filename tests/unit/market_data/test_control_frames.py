from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_data.control_frames import answer


class Session:
    def __init__(self) -> None:
        self.combined = False
        self.names: dict[str, None] = {}

    @property
    def subscriptions(self) -> list[str]:
        return list(self.names)

    def subscribe(self, name: str) -> None:
        self.names[name] = None

    def unsubscribe(self, name: str) -> None:
        self.names.pop(name, None)


def ask(request: Any, session: Session | None = None, max_streams: int = 1024) -> Any:
    return json.loads(answer(json.dumps(request).encode(), session or Session(), max_streams))


@pytest.mark.parametrize("request_id", [1, -(2**63), 2**63 - 1, "x" * 36, "", None])
def test_ids_come_back_with_their_type(request_id: Any) -> None:
    assert ask({"method": "LIST_SUBSCRIPTIONS", "id": request_id}) == {"result": [], "id": request_id}


@pytest.mark.parametrize("request_id", [2**63, "x" * 37, 1.5, True, [], {}])
def test_other_ids_are_refused(request_id: Any) -> None:
    assert ask({"method": "LIST_SUBSCRIPTIONS", "id": request_id})["error"]["code"] == 2


def test_a_connection_has_a_limit_of_streams_and_asking_twice_counts_once() -> None:
    session = Session()
    subscribe = {"method": "SUBSCRIBE", "params": ["a", "b"], "id": 1}
    assert ask(subscribe, session, 2) == {"result": None, "id": 1}
    assert ask(subscribe, session, 2) == {"result": None, "id": 1}
    assert ask({"method": "SUBSCRIBE", "params": ["c"], "id": 1}, session, 2)["error"]["code"] == 2
    assert session.subscriptions == ["a", "b"]


@pytest.mark.parametrize(
    "request_frame",
    [
        [],
        {},
        {"method": "SUBSCRIBE"},
        {"method": "SUBSCRIBE", "params": [1]},
        {"method": "SUBSCRIBE", "params": [""]},
        {"method": ["SUBSCRIBE"], "params": []},
        {"method": "SET_PROPERTY", "params": ["combined"]},
        {"method": "GET_PROPERTY", "params": []},
        {"method": "GET_PROPERTY", "params": [7]},
    ],
)
def test_malformed_requests_have_code_2(request_frame: Any) -> None:
    assert ask(request_frame)["error"]["code"] == 2


@given(st.binary(max_size=200))
def test_any_bytes_get_one_answer(data: bytes) -> None:
    reply = json.loads(answer(data, Session(), 10))
    assert set(reply) in ({"result", "id"}, {"error", "id"})


def test_deep_nesting_is_bad_json() -> None:
    assert json.loads(answer(b"[" * 100_000, Session(), 10))["error"]["code"] == 3
