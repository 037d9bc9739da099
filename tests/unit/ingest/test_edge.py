"""The public port without a network: bodies, methods, unknown paths, and no framework's words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from ingest.documentation import PATHS, documentation_app
from ingest.documented_operations import DOCS
from ingest.edge import MAX_BODY_BYTES, Edge
from ingest.http_exchange import Answer, Request, Route, ok
from ingest.rate_limits import RateLimits
from ingest.settings import LimitSettings, docs_are_public
from schemas import public_errors as errors
from tests.unit.ingest.clients import NOW_NS

FORM = (b"content-type", b"application/x-www-form-urlencoded")


async def echo(request: Request) -> Answer:
    return ok({"query": request.query.decode(), "body": request.body.decode()}, [(b"x-own", b"1")])


async def broken(request: Request) -> Answer:
    raise RuntimeError("select * from secrets")


async def refusing(request: Request) -> Answer:
    raise errors.OVERLOADED(retry_after=1)


def edge(**limits: int) -> Edge:
    made = Edge(RateLimits(LimitSettings(**limits)), lambda: NOW_NS)
    made.add(
        {
            ("GET", "/echo"): Route(echo, 3),
            ("POST", "/echo"): Route(echo),
            ("GET", "/broken"): Route(broken),
            ("GET", "/refusing"): Route(refusing),
        }
    )
    made.mount(documentation_app(made.paths), PATHS)
    return made


async def ask(
    app: Edge,
    method: str,
    path: str,
    query: bytes = b"",
    pieces: Iterable[bytes] = (),
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> tuple[int, dict[bytes, bytes], Any]:
    waiting = list(pieces)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        piece = waiting.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "server": ("127.0.0.1", 1),
        "raw_path": path.encode(),
        "method": method,
        "path": path,
        "query_string": query,
        "headers": list(headers),
        "client": ("10.0.0.9", 5),
    }
    await app(scope, receive, send)
    body = b"".join(m.get("body", b"") for m in sent[1:])
    fields = dict(sent[0]["headers"])
    return sent[0]["status"], fields, orjson.loads(body) if body.startswith(b"{") else body


async def test_a_route_answers_with_its_headers_and_the_weight_used() -> None:
    app = edge()
    status, headers, body = await ask(app, "GET", "/echo", b"a=1&b=%20")
    assert (status, body) == (200, {"query": "a=1&b=%20", "body": ""})
    assert headers[b"content-type"] == b"application/json;charset=UTF-8"
    assert headers[b"x-mbx-used-weight-1m"] == headers[b"x-mbx-used-weight"] == b"3"
    assert headers[b"x-own"] == b"1"
    assert (await ask(app, "GET", "/echo"))[1][b"x-mbx-used-weight-1m"] == b"6"


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/ping", "/sapi/v1/account", "/metrics", "/echo/", "/debug", "//echo"]
)
async def test_an_unknown_path_is_refused_in_our_words(path: str) -> None:
    status, _, body = await ask(edge(), "GET", path)
    assert (status, body) == (404, {"code": -1020, "msg": "This operation is not supported."})


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"])
async def test_another_method_is_refused_and_an_override_ignored(method: str) -> None:
    status, headers, body = await ask(edge(), method, "/echo", headers=[(b"x-http-method-override", b"GET")])
    assert status == 405
    assert headers[b"allow"] == b"GET, POST"
    assert body in (b"", {"code": -1020, "msg": "This operation is not supported."})


async def test_a_bug_tells_the_client_nothing() -> None:
    status, _, body = await ask(edge(), "GET", "/broken")
    assert (status, body) == (
        500,
        {"code": -1000, "msg": "An unknown error occurred while processing the request."},
    )


async def test_a_refusal_may_say_when_to_come_back() -> None:
    status, headers, body = await ask(edge(), "GET", "/refusing")
    assert (status, body["code"], headers[b"retry-after"]) == (503, -1008, b"1")


@pytest.mark.parametrize(
    ("headers", "pieces", "status"),
    [
        ([(b"content-length", b"16385"), FORM], [b"x" * 16_385], 413),
        ([(b"transfer-encoding", b"chunked"), FORM], [b"x" * 9_000, b"x" * 9_000], 413),
        ([(b"content-length", b"5"), (b"content-type", b"application/json")], [b"[1,2]"], 415),
        ([(b"content-length", b"5"), (b"content-encoding", b"gzip"), FORM], [b"\x1f\x8b..."], 415),
        ([(b"content-length", b"5"), FORM], [], 408),
    ],
    ids=["declared", "chunked", "type", "encoded", "unfinished"],
)
async def test_a_body_is_bounded_plain_and_whole(
    headers: list[tuple[bytes, bytes]], pieces: list[bytes], status: int
) -> None:
    got, _, body = await ask(edge(), "POST", "/echo", pieces=pieces, headers=headers)
    assert (got, body) == (status, {"code": -1130, "msg": "Data sent for parameter 'body' is not valid."})


async def test_a_body_of_the_largest_size_is_read_from_its_pieces() -> None:
    text = b"a=" + b"x" * (MAX_BODY_BYTES - 2)
    headers = [(b"transfer-encoding", b"chunked"), FORM]
    status, _, body = await ask(edge(), "POST", "/echo", pieces=[text[:9000], text[9000:]], headers=headers)
    assert (status, body["body"]) == (200, text.decode())


async def test_a_body_of_a_get_is_not_read() -> None:
    headers = [(b"content-length", b"5"), (b"content-type", b"application/json")]
    assert (await ask(edge(), "GET", "/echo", headers=headers))[0] == 200


async def test_an_endless_query_is_refused() -> None:
    assert (await ask(edge(), "GET", "/echo", b"a" * 16_385))[0] == 413


async def test_too_much_weight_is_refused_with_retry_after() -> None:
    app = edge(request_weight_1m=4)
    assert (await ask(app, "GET", "/echo"))[0] == 200
    status, headers, body = await ask(app, "GET", "/echo")
    assert (status, body["code"]) == (429, -1003)
    assert 1 <= int(headers[b"retry-after"]) <= 60
    assert headers[b"x-mbx-used-weight-1m"] == b"3"


async def test_the_documentation_is_served_and_only_read() -> None:
    app = edge()
    status, _, document = await ask(app, "GET", "/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    page = (await ask(app, "GET", "/docs"))[2].decode()
    for name in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert name.startswith("/docs/")  # nothing from elsewhere
        assert (await ask(app, "GET", name))[0] == 200
    assert page.count("/docs/") >= 3
    assert (await ask(app, "POST", "/docs"))[0] == 404


def test_the_documentation_names_every_parameter_once_and_nothing_of_the_operator() -> None:
    document = documentation_app(DOCS).openapi()
    assert {path for _, path in DOCS} == set(document["paths"])
    place = document["paths"]["/api/v3/order"]["post"]
    schema = place["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    assert {"symbol", "side", "type", "timestamp", "signature"} == set(schema["required"])
    assert "admin" not in orjson.dumps(document).decode()


@pytest.mark.parametrize(
    ("said", "host", "public"),
    [
        (None, "127.0.0.1", True),
        (None, "::1", True),
        (None, "localhost", True),
        (None, "0.0.0.0", False),
        (None, "10.0.0.5", False),
        (None, "exchange.example", False),
        (True, "0.0.0.0", True),
        (False, "127.0.0.1", False),
    ],
)
def test_documents_are_public_where_nobody_is_or_where_it_was_said(
    said: bool | None, host: str, public: bool
) -> None:
    assert docs_are_public(said, host) is public


async def clocked(request: Request) -> Answer:
    return ok({"serverTime": 1_700_000_000_123})


@pytest.mark.parametrize(
    ("unit", "status", "expected"),
    [
        (b"MICROSECOND", 200, {"serverTime": 1_700_000_000_123_000}),
        (b"MILLISECOND", 200, {"serverTime": 1_700_000_000_123}),
        (
            b"SECOND",
            400,
            {
                "code": -1194,
                "msg": "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.",
            },
        ),
    ],
)
async def test_times_are_in_the_unit_that_is_asked_for(unit: bytes, status: int, expected: Any) -> None:
    app = edge()
    app.add({("GET", "/clocked"): Route(clocked)})
    answer = await ask(app, "GET", "/clocked", headers=[(b"x-mbx-time-unit", unit)])
    assert (answer[0], answer[2]) == (status, expected)
