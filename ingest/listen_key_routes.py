"""POST, PUT and DELETE /userDataStream: listen keys, for which an API key is enough and nothing is signed."""

from __future__ import annotations

from typing import Final

from ingest.api_keys import KeyStore
from ingest.authentication import live_key
from ingest.http_exchange import Answer, Request, Route, ok
from ingest.user_data.listen_keys import Listening, ListenKeys
from schemas import public_errors as errors
from schemas.public_parameters import Parameters

_PATH: Final = "/api/v3/userDataStream"
_WEIGHT: Final = 2


class ListenKeyRoutes:
    def __init__(self, keys: KeyStore, listen_keys: ListenKeys) -> None:
        self._keys = keys
        self._listen_keys = listen_keys

    def routes(self) -> dict[tuple[str, str], Route]:
        return {
            ("POST", _PATH): Route(self.issue, _WEIGHT),
            ("PUT", _PATH): Route(self.extend, _WEIGHT),
            ("DELETE", _PATH): Route(self.end, _WEIGHT),
        }

    async def issue(self, request: Request) -> Answer:
        who, _ = self._asks(request, frozenset())
        return ok({"listenKey": await self._listen_keys.issue(who)})

    async def extend(self, request: Request) -> Answer:
        who, parameters = self._asks(request, frozenset({"listenKey"}))
        await self._listen_keys.extend(who.account_id, parameters.required("listenKey"))
        return ok({})

    async def end(self, request: Request) -> Answer:
        who, parameters = self._asks(request, frozenset({"listenKey"}))
        await self._listen_keys.end(who.account_id, parameters.required("listenKey"))
        return ok({})

    def _asks(self, request: Request, known: frozenset[str]) -> tuple[Listening, Parameters]:
        key = live_key(self._keys, request)
        if not key.can_read or not key.allows(request.address):
            raise errors.REJECTED_KEY()
        parameters = Parameters.parse(request.query, request.body)
        parameters.refuse_unknown(known)
        return Listening(key.account_id, key.api_key), parameters
