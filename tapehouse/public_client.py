"""A client of the public API: signed requests over HTTP, patient with limits and restarts."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from typing import Any, Self
from urllib.parse import urlencode

import httpx

from tapehouse.errors import OperatorError

RECEIVE_WINDOW_MS = 10_000
_TRY_LATER = {429, 503}


class Refused(OperatorError):
    """An answer that is not 2xx: the exchange's own code and message."""

    def __init__(self, status: int, code: int, msg: str, request: str) -> None:
        super().__init__(f"{request}: {status} {code} {msg}")
        self.status = status
        self.code = code
        self.msg = msg


class PublicClient:
    """Requests without a key need neither `api_key` nor `secret`. Raises Refused, httpx.TransportError."""

    def __init__(self, base_url: str, api_key: str = "", secret: str = "") -> None:
        self._secret = secret.encode()
        headers = {"X-MBX-APIKEY": api_key} if api_key else {}
        self._client = httpx.AsyncClient(base_url=base_url, headers=headers, timeout=15.0, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, path: str, **parameters: Any) -> Any:
        """Ask something public."""
        return await self._patiently("GET", path, parameters, signed=False)

    async def signed(self, method: str, path: str, **parameters: Any) -> Any:
        """Ask as the account. A refusal for the rate (429) or for now (503) is waited out, then repeated."""
        return await self._patiently(method, path, parameters, signed=True)

    async def _patiently(self, method: str, path: str, parameters: dict[str, Any], *, signed: bool) -> Any:
        while True:
            response = await self._once(method, path, parameters, signed=signed)
            if response.status_code not in _TRY_LATER:
                break
            await asyncio.sleep(float(response.headers.get("Retry-After", "1")))
        if response.is_success:
            return response.json()
        code, msg = _refusal(response)
        raise Refused(response.status_code, code, msg, f"{method} {path}")

    async def _once(
        self, method: str, path: str, parameters: dict[str, Any], *, signed: bool
    ) -> httpx.Response:
        text = urlencode(parameters)
        if signed:
            text = sign(self._secret, text, time.time_ns() // 1_000_000, RECEIVE_WINDOW_MS)
        if method in ("GET", "DELETE"):
            return await self._client.request(method, f"{path}?{text}")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._client.request(method, path, content=text, headers=headers)


def sign(secret: bytes, text: str, timestamp_ms: int, window_ms: int) -> str:
    """Return the parameters with time, window and signature."""
    whole = f"{text}&recvWindow={window_ms}&timestamp={timestamp_ms}".lstrip("&")
    return f"{whole}&signature={hmac.digest(secret, whole.encode(), hashlib.sha256).hex()}"


def _refusal(response: httpx.Response) -> tuple[int, str]:
    try:
        body = response.json()
        return int(body["code"]), str(body["msg"])
    except (ValueError, KeyError, TypeError):
        return 0, response.text[:200]
