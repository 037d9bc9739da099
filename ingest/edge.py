"""The public port's ASGI application: one table of (method, path), bounded bodies, refusals as {code, msg}.

Raw ASGI: a framework's request object would cost several times what an order costs. Nothing that a
framework words itself (404, 405, 422, 500) ever reaches a client.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

import structlog
from msgspec.structs import force_setattr

from ingest.http_exchange import Answer, Headers, Request, Route
from ingest.rate_limits import RateLimits
from ingest.shared_limits import SharedLimits
from ingest.trusted_proxies import TrustedProxies
from schemas import public_errors as errors
from schemas.public_errors import PublicError
from schemas.public_wire import JSON_TYPE
from schemas.time_unit import answer_in_microseconds, wants_microseconds

_log = structlog.get_logger("edge")
MAX_BODY_BYTES: Final = 16_384
MAX_QUERY_BYTES: Final = 16_384
MAX_HEADERS: Final = 100
_FORM: Final = b"application/x-www-form-urlencoded"
_WITH_BODY: Final = frozenset({"POST", "PUT", "DELETE"})

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Edge:
    def __init__(
        self,
        limits: RateLimits,
        now_ns: Callable[[], int],
        shared: SharedLimits | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self.limits = self._limits = limits
        self._now_ns = now_ns
        self._shared = shared
        self._proxies = proxies or None
        self._prefixes: dict[str, AsgiApp] = {}
        self._others: dict[str, AsgiApp] = {}
        self._routes: dict[tuple[str, str], Route] = {}
        self._paths: dict[str, list[str]] = {}

    def add(self, routes: Mapping[tuple[str, str], Route]) -> None:
        for (method, path), route in routes.items():
            self._routes[method, path] = route
            self._paths.setdefault(path, []).append(method)

    def mount(self, app: AsgiApp, paths: Iterable[str]) -> None:
        """Let a whole ASGI application answer exactly these paths."""
        self._others.update(dict.fromkeys(paths, app))

    def mount_under(self, prefix: str, app: AsgiApp) -> None:
        """Let a whole ASGI application answer every path that starts so."""
        self._prefixes[prefix] = app

    @property
    def paths(self) -> Iterable[tuple[str, str]]:
        return self._routes.keys()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            other = self._others.get(scope["path"])
            if other is not None and scope["method"] in ("GET", "HEAD"):
                await other(scope, receive, send)
            else:
                await self._http(scope, receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        now_ns = self._now_ns()
        client = scope["client"]
        address = client[0] if client else ""
        if self._proxies is not None:
            address = self._proxies.client_of(address, scope["headers"])
        for prefix, app in self._prefixes.items():
            if scope["path"].startswith(prefix):
                await app({**scope, "client": (address, 0)}, receive, send)
                return
        headers: Headers = []
        try:
            answer = await self._answer(scope, receive, address, now_ns)
            status, body, headers, content_type = answer
        except PublicError as refusal:
            status, body, headers, content_type = refusal.status, refusal.body(), refusal.headers(), JSON_TYPE
            headers += self._refusal_headers(scope, status)
        except Exception:
            _log.exception("request failed", path=scope["path"])
            failure = errors.UNKNOWN_ERROR()
            status, body, content_type = failure.status, failure.body(), JSON_TYPE
        used = b"%d" % self._limits.used_weight(address, now_ns)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", content_type),
                    (b"content-length", b"%d" % len(body)),
                    (b"x-mbx-used-weight", used),
                    (b"x-mbx-used-weight-1m", used),
                    *headers,
                ],
            }
        )
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Scope, receive: Receive, address: str, now_ns: int) -> Answer:
        method, path = scope["method"], scope["path"]
        route = self._routes.get((method, path))
        if route is None:
            await self._spend(address, 1, now_ns)
            route = self.route(method, path)  # refuses
        query: bytes = scope["query_string"]
        if len(query) > MAX_QUERY_BYTES:
            raise errors.BODY_TOO_LARGE("query")
        if len(scope["headers"]) > MAX_HEADERS:
            raise errors.BODY_TOO_LARGE("headers")
        api_key = content_type = length = encoding = unit = None
        for name, value in scope["headers"]:
            if name == b"x-mbx-apikey":
                api_key = value
            elif name == b"content-type":
                content_type = value
            elif name in (b"content-length", b"transfer-encoding"):
                length = value
            elif name == b"content-encoding":
                encoding = value
            elif name == b"x-mbx-time-unit":
                unit = value
        body = b""
        if length is not None and length != b"0" and method in _WITH_BODY:
            body = await self._body(receive, content_type, length, encoding)
        request = Request(method, path, query, body, address, api_key, now_ns)
        if unit is not None and wants_microseconds(unit.decode("latin-1")):
            answer = await self.serve(route, request)
            return answer._replace(body=answer_in_microseconds(answer.body))
        return await self.serve(route, request)

    def route(self, method: str, path: str) -> Route:
        """Return what answers. Raises -1020 (404, or 405 for a path with other methods)."""
        route = self._routes.get((method, path))
        if route is None:
            raise errors.METHOD_NOT_ALLOWED() if path in self._paths else errors.NOT_FOUND()
        return route

    async def serve(self, route: Route, request: Request) -> Answer:
        """Count what a request weighs, by whatever way it came, and return its answer. Raises PublicError."""
        weight = route.weight if route.weigh is None else route.weigh(request)
        await self._spend(request.address, weight, request.received_ns, cancel=request.method == "DELETE")
        if weight != 1:
            force_setattr(request, "weight", weight)
        return await route.handler(request)

    async def _spend(self, address: str, weight: int, now_ns: int, cancel: bool = False) -> None:
        if self._shared is not None and not self._limits.covers(address, weight, now_ns):
            await self._shared.ensure(address, weight, now_ns)
        self._limits.spend(address, weight, now_ns, cancel)

    async def _body(
        self, receive: Receive, content_type: bytes | None, length: bytes, encoding: bytes | None
    ) -> bytes:
        """Return the whole body. Raises for one too large, unfinished, encoded, or of another type."""
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            raise errors.BODY_TOO_LARGE("body")
        if encoding is not None and encoding.lower() != b"identity":
            raise errors.UNSUPPORTED_BODY("body")
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":  # it left, or took too long and was cut
                raise errors.SLOW_BODY("body")
            piece: bytes = message.get("body", b"")
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise errors.BODY_TOO_LARGE("body")
            if not message.get("more_body", False):
                break
        if body and content_type is not None and not content_type.lower().startswith(_FORM):
            raise errors.UNSUPPORTED_BODY("body")
        return body

    def _refusal_headers(self, scope: Scope, status: int) -> Headers:
        if status == errors.METHOD_NOT_ALLOWED.status:
            return [(b"allow", ", ".join(self._paths[scope["path"]]).encode())]
        if status in (errors.BODY_TOO_LARGE.status, errors.SLOW_BODY.status):
            return [(b"connection", b"close")]
        return []
