"""What a client may ask on a market stream connection, and the answers."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
UNKNOWN_PROPERTY, NOT_A_BOOLEAN, INVALID_REQUEST, INVALID_JSON = 0, 1, 2, 3
MAX_ID_LENGTH = 36
MAX_NAME_LENGTH = 128


class Session(Protocol):
    """The state of one connection."""

    combined: bool

    @property
    def subscriptions(self) -> list[str]: ...

    def subscribe(self, name: str) -> None: ...

    def unsubscribe(self, name: str) -> None: ...


class Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def answer(data: bytes, session: Session, max_streams: int) -> bytes:
    """Do what the frame asks and return the answer; every frame gets one, with the frame's own id."""
    request_id: Any = None
    try:
        try:
            request = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise Refused(INVALID_JSON, f"Invalid JSON: {error}") from None
        if not isinstance(request, dict):
            raise Refused(INVALID_REQUEST, "Invalid request: must be an object")
        request_id = _request_id(request)
        result = _perform(request, session, max_streams)
    except Refused as refused:
        return msgspec.json.encode(
            {"error": {"code": refused.code, "msg": refused.message}, "id": request_id}
        )
    return msgspec.json.encode({"result": result, "id": request_id})


def _request_id(request: dict[str, Any]) -> int | str | None:
    value = request.get("id")
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= MAX_ID_LENGTH:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    raise Refused(
        INVALID_REQUEST,
        "Invalid request: request ID must be a 64-bit integer, a string of at most 36 characters or null",
    )


def _perform(request: dict[str, Any], session: Session, max_streams: int) -> Any:
    method = request.get("method")
    if method is None:
        raise Refused(INVALID_REQUEST, "Invalid request: missing field `method`")
    if method not in METHODS:
        expected = ", ".join(f"`{name}`" for name in METHODS)
        raise Refused(INVALID_REQUEST, f"Invalid request: unknown variant, expected one of {expected}")
    if method == "LIST_SUBSCRIPTIONS":
        return session.subscriptions
    params = request.get("params")
    if not isinstance(params, list):
        raise Refused(INVALID_REQUEST, "Invalid request: params must be an array")
    if method in ("SET_PROPERTY", "GET_PROPERTY"):
        return _property(method, params, session)
    if not all(isinstance(name, str) and 0 < len(name) <= MAX_NAME_LENGTH for name in params):
        raise Refused(INVALID_REQUEST, "Invalid request: params must be an array of stream names")
    if method == "UNSUBSCRIBE":
        for name in params:
            session.unsubscribe(name)
        return None
    if len({*session.subscriptions, *params}) > max_streams:
        raise Refused(INVALID_REQUEST, f"Invalid request: more than {max_streams} streams")
    for name in params:
        session.subscribe(name)
    return None


def _property(method: str, params: list[Any], session: Session) -> bool | None:
    wanted = 2 if method == "SET_PROPERTY" else 1
    if len(params) != wanted:
        what = "too many" if len(params) > wanted else "not enough"
        raise Refused(INVALID_REQUEST, f"Invalid request: {what} parameters")
    if not isinstance(params[0], str):
        raise Refused(INVALID_REQUEST, "Invalid request: property name must be a string")
    if params[0] != "combined":
        raise Refused(UNKNOWN_PROPERTY, "Unknown property")
    if method == "GET_PROPERTY":
        return session.combined
    if not isinstance(params[1], bool):
        raise Refused(NOT_A_BOOLEAN, "Invalid value type: expected Boolean")
    session.combined = params[1]
    return None
