"""One connection's conversation: its requests, who it has logged on as, and its user data streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from ingest.api_keys import KeyStore
from ingest.authentication import authenticate
from ingest.edge import Edge
from ingest.http_exchange import Answer, Headers, Request, Route, ok
from ingest.rate_limits import RateLimits
from ingest.user_data.listen_keys import ListenKeys
from ingest.user_data.streams import Subscription, UserStreams
from ingest.ws_api.answers import LimitRows, frame_text, id_text, refusal_body
from ingest.ws_api.methods import METHODS, plain
from ingest.ws_api.parameters import (
    NOT_ASKED,
    SocketRequest,
    as_texts,
    checked_id,
    decode,
    encoded,
)
from schemas import public_errors as errors
from schemas.public_errors import PublicError
from schemas.public_parameters import Parameters
from schemas.public_wire import NS_PER_MS
from schemas.time_unit import answer_in_microseconds, event_in_microseconds

_log = structlog.get_logger("ws_api")
MAX_SUBSCRIPTIONS: Final = 1000
_SESSION_WEIGHT: Final = 2
_NO_ID: Final = b"null"


async def _refuse(request: Request) -> Answer:
    raise errors.UNSUPPORTED_OPERATION()


async def _nothing(request: Request) -> Answer:
    return ok(None)


_UNSUPPORTED: Final = Route(_refuse)
_UNREADABLE: Final = Route(_nothing)
"""Both only count: what cannot be answered is not free."""


class Desk(NamedTuple):
    """What all sessions of a worker share."""

    edge: Edge
    keys: KeyStore
    limits: RateLimits
    rows: LimitRows
    streams: UserStreams
    listen_keys: ListenKeys
    now_ns: Callable[[], int]

    def key_is_good(self, name: str, address: str, now_ns: int) -> bool:
        """Return whether an API key still lives and may be used from the address."""
        key = self.keys.get(name)
        if key is None or not key.allows(address):
            return False
        return key.expires_at_ns is None or key.expires_at_ns > now_ns


class Session:
    """Requests are answered in any order. Every method is called on the loop; `push` takes whole messages."""

    def __init__(
        self,
        desk: Desk,
        address: str,
        push: Callable[[bytes], None],
        end_streams: Callable[[], None],
        return_rate_limits: bool = True,
        microseconds: bool = False,
    ) -> None:
        self._desk = desk
        self._address = address
        self._push = push
        self._end_streams = end_streams
        self._closed = False
        self._return_rate_limits = return_rate_limits
        self._microseconds = microseconds
        self._connected_ms = desk.now_ns() // NS_PER_MS
        self._authorized_ms: int | None = None
        self._api_key: str | None = None
        self._subscriptions: dict[int, Subscription] = {}
        self._next_subscription = 0
        self._answered: list[Subscription] = []
        self._own: Mapping[str, Route] = {
            "session.logon": Route(self._log_on, _SESSION_WEIGHT),
            "session.status": Route(self._status, _SESSION_WEIGHT),
            "session.logout": Route(self._log_out, _SESSION_WEIGHT),
            "session.subscriptions": Route(self._list, _SESSION_WEIGHT),
            "userDataStream.subscribe": Route(self._subscribe, _SESSION_WEIGHT),
            "userDataStream.subscribe.signature": Route(self._subscribe, _SESSION_WEIGHT),
            "userDataStream.unsubscribe": Route(self._unsubscribe, _SESSION_WEIGHT),
        }

    async def handle(self, message: bytes) -> None:
        """Answer one message. Never raises."""
        desk, now_ns = self._desk, self._desk.now_ns()
        request_id, wanted = _NO_ID, self._return_rate_limits
        headers: Headers = []
        try:
            asked = _read(message)
            if asked is None:
                await self._serve(_UNREADABLE, "", {}, now_ns)
                raise errors.INVALID_JSON("request")
            request_id = id_text(checked_id(asked.id))
            if type(asked.method) is not str:
                raise errors.MANDATORY("method")
            texts = as_texts(asked.params)
            given = texts.get("returnRateLimits")
            wanted = wanted if given is None else given == "true"
            answer = await self._answer(plain(asked.method), texts, now_ns)
            status, body, headers = answer.status, answer.body, answer.headers
            if self._microseconds:
                body = answer_in_microseconds(body)
        except PublicError as refusal:
            status, body = refusal.status, refusal_body(refusal, desk.now_ns())
        except Exception:
            _log.exception("request failed")
            status, body = 500, errors.UNKNOWN_ERROR().body()
        limits = None
        if wanted:
            limits = desk.rows.text(desk.limits.used_weight(self._address, now_ns), headers)
        self._push(frame_text(request_id, status, body, limits))
        while self._answered:
            self._answered.pop().open()

    async def _answer(self, method: str, texts: dict[str, str], now_ns: int) -> Answer:
        own = self._own.get(method)
        if own is not None:
            return await self._serve(own, method, texts, now_ns)
        try:
            verb, path = METHODS[method]
            route = self._desk.edge.route(verb, path)
        except (KeyError, PublicError):
            return await self._serve(_UNSUPPORTED, method, {}, now_ns)
        return await self._serve(route, path, texts, now_ns, verb)

    async def _serve(
        self, route: Route, path: str, texts: dict[str, str], now_ns: int, verb: str = ""
    ) -> Answer:
        return await self._desk.edge.serve(route, self._request(verb, path, texts, now_ns))

    def _request(self, verb: str, path: str, texts: dict[str, str], now_ns: int) -> Request:
        """Return the request of the REST twin, signed or on behalf of who has logged on."""
        api_key = texts.get("apiKey")
        signed, query = encoded(texts)
        logged_on = self._api_key is not None and api_key is None and "signature" not in texts
        who = self._api_key if logged_on else api_key
        for name in NOT_ASKED:
            texts.pop(name, None)
        return Request(
            verb,
            path,
            query,
            b"",
            self._address,
            None if who is None else who.encode(),
            now_ns,
            signed,
            logged_on,
            texts,
        )

    # -- the session ------------------------------------------------------------------------------

    async def _log_on(self, request: Request) -> Answer:
        if request.logged_on:
            raise errors.MANDATORY("apiKey")
        self._api_key = authenticate(self._desk.keys, request, trade=False).key.api_key
        self._authorized_ms = request.received_ns // NS_PER_MS
        return ok(self._state(request))

    async def _status(self, request: Request) -> Answer:
        return ok(self._state(request))

    async def _log_out(self, request: Request) -> Answer:
        for subscription in [s for s in self._subscriptions.values() if s.by_session]:
            self._end(subscription)
        self._api_key = self._authorized_ms = None
        return ok(self._state(request))

    def _state(self, request: Request) -> dict[str, Any]:
        return {
            "apiKey": self._api_key,
            "authorizedSince": self._authorized_ms,
            "connectedSince": self._connected_ms,
            "returnRateLimits": self._return_rate_limits,
            "serverTime": request.received_ns // NS_PER_MS,
            "userDataStream": bool(self._subscriptions),
        }

    def check_keys(self, now_ns: int) -> None:
        """End what rests on a key that has been revoked or has expired."""
        gone = {
            name
            for name in {self._api_key, *[s.api_key for s in self._subscriptions.values()]}
            if name is not None and not self._desk.key_is_good(name, self._address, now_ns)
        }
        if not gone:
            return
        for subscription in [s for s in self._subscriptions.values() if s.api_key in gone]:
            self._end(subscription)
        if self._api_key in gone:
            self._api_key = self._authorized_ms = None
        self._push(frame_text(_NO_ID, 401, errors.REJECTED_KEY().body(), None))

    @property
    def rests_on_keys(self) -> bool:
        return self._api_key is not None or bool(self._subscriptions)

    # -- user data --------------------------------------------------------------------------------

    async def _subscribe(self, request: Request) -> Answer:
        if request.path == "userDataStream.subscribe":
            if not request.logged_on:
                raise errors.UNAUTHORIZED()
            key = self._desk.keys.get((request.api_key or b"").decode())
            if key is None or not key.can_read:
                raise errors.REJECTED_KEY()
        else:
            if request.logged_on:
                raise errors.MANDATORY("apiKey")
            key = authenticate(self._desk.keys, request, trade=False).key
        if any(s.account_id == key.account_id for s in self._subscriptions.values()):
            raise errors.SUBSCRIPTION_ACTIVE()
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise errors.UNSUPPORTED_OPERATION()
        number, self._next_subscription = self._next_subscription, self._next_subscription + 1
        push = self._push_microseconds if self._microseconds else self._push
        subscription = Subscription(
            number, key.account_id, key.api_key, request.logged_on, push, self._end_streams
        )
        self._subscriptions[number] = subscription
        try:
            await self._desk.streams.add(subscription)
        except PublicError:
            self._subscriptions.pop(number, None)
            raise
        if self._closed or number not in self._subscriptions:  # it left, or its key did, meanwhile
            self._desk.streams.remove(subscription)
        self._answered.append(subscription)
        return ok({"subscriptionId": number})

    def _push_microseconds(self, message: bytes) -> None:
        self._push(event_in_microseconds(message))

    async def _unsubscribe(self, request: Request) -> Answer:
        number = Parameters.parse(request.query).integer("subscriptionId")
        if number is None:
            chosen = list(self._subscriptions.values())
        elif number in self._subscriptions:
            chosen = [self._subscriptions[number]]
        else:
            chosen = []
        if not chosen:
            raise errors.SUBSCRIPTION_NOT_ACTIVE()
        for subscription in chosen:
            self._end(subscription)
        return ok({})

    async def _list(self, request: Request) -> Answer:
        return ok([{"subscriptionId": number} for number in self._subscriptions])

    def _end(self, subscription: Subscription) -> None:
        self._desk.streams.remove(subscription)
        self._subscriptions.pop(subscription.number, None)
        subscription.terminate(self._desk.now_ns() // NS_PER_MS)

    def close(self) -> None:
        """Forget the streams; the connection is gone."""
        self._closed = True
        for subscription in self._subscriptions.values():
            self._desk.streams.remove(subscription)
        self._subscriptions.clear()


def _read(message: bytes) -> SocketRequest | None:
    try:
        return decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
