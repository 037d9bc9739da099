"""What a request passes before the application sees it: limits of the address, a bounded and strict body.

The application's own failures end here, too: a client gets {code, msg}, the log the rest.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import orjson
import structlog

from ingest.accounts import strict_json
from ingest.management_refusal import ManagementRefusal
from ingest.rate_limits import RateLimits
from ingest.shared_limits import SharedLimits
from schemas.public_errors import BANNED, PublicError

_log = structlog.get_logger("accounts")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
WEIGHT: Final = 5

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    def __init__(
        self, app: AsgiApp, limits: RateLimits, shared: SharedLimits, now_ns: Callable[[], int]
    ) -> None:
        self._app = app
        self._limits = limits
        self._shared = shared
        self._now_ns = now_ns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address, now_ns = scope["client"][0], self._now_ns()
        started = False

        async def send_with_weight(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                used = b"%d" % self._limits.used_weight(address, now_ns)
                more = [(b"x-mbx-used-weight-1m", used), (b"cache-control", b"no-store")]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        try:
            await self._shared.ensure(address, WEIGHT, now_ns)
            self._limits.spend(address, WEIGHT, now_ns)
            body = await self._body(scope, receive)
            await self._app(scope, _replay(body, receive), send_with_weight)
        except PublicError as refusal:
            code = "banned" if refusal.status == BANNED.status else "too_many_requests"
            headers = {"Retry-After": str(refusal.retry_after or 1)}
            await answer(send_with_weight, ManagementRefusal(refusal.status, code, refusal.msg, headers))
        except ManagementRefusal as refusal:
            await answer(send_with_weight, refusal)
        except Exception:
            _log.exception("request failed", path=scope["path"])
            if not started:
                await answer(send_with_weight, ManagementRefusal(500, "internal_error", "internal error"))

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Return the whole body, which is one JSON object, or empty."""
        headers = {
            name: value for name, value in scope["headers"] if name.startswith((b"content-", b"trans"))
        }
        if scope["method"] not in _WITH_BODY or not headers.keys() & {
            b"content-length",
            b"transfer-encoding",
        }:
            return b""
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > strict_json.MAX_BYTES:
            raise _too_large()
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise ManagementRefusal(415, "body_type", "an encoded body is not read")
        body: bytes = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ManagementRefusal(408, "body_slow", "the body did not come", {"Connection": "close"})
            body += message.get("body", b"")
            if len(body) > strict_json.MAX_BYTES:
                raise _too_large()
            if not message.get("more_body", False):
                break
        if body:
            if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
                raise ManagementRefusal(415, "body_type", "the body must be application/json")
            strict_json.read_object(body)
        return body


def _too_large() -> ManagementRefusal:
    return ManagementRefusal(
        413, "body_too_large", f"a body has at most {strict_json.MAX_BYTES} bytes", {"Connection": "close"}
    )


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the application the body that has been read, once, and then what comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


async def answer(send: Send, refusal: ManagementRefusal) -> None:
    body = orjson.dumps({"code": refusal.code, "msg": refusal.msg})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
