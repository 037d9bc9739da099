"""Requests as clients send them, for tests of the pure parts."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode

from ingest.api_keys import ApiKey, KeyStore, hmac_verifier
from ingest.http_exchange import Request

NOW_NS = 1_700_000_000_000_000_000
NOW_MS = NOW_NS // 1_000_000
API_KEY = "k" * 64
SECRET = "s" * 64


def key(**changes: Any) -> ApiKey:
    fields: dict[str, Any] = {
        "api_key": API_KEY,
        "account_id": 1004,
        "verify": hmac_verifier(SECRET.encode()),
        "can_read": True,
        "can_trade": True,
        "maker_fee_ppm": 1000,
        "taker_fee_ppm": 2000,
    }
    return ApiKey(**{**fields, **changes})


def store(**changes: Any) -> KeyStore:
    keys = KeyStore()
    keys.put([key(**changes)])
    keys.whole = True
    return keys


def sign(raw: str, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), raw.encode(), hashlib.sha256).hexdigest()


def signed(**parameters: Any) -> str:
    """The raw parameters with `signature` last."""
    raw = urlencode(parameters)
    return f"{raw}&signature={sign(raw)}"


def request(query: str = "", body: str = "", **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "method": "GET",
        "path": "/api/v3/account",
        "query": query.encode(),
        "body": body.encode(),
        "address": "127.0.0.1",
        "api_key": API_KEY.encode(),
        "received_ns": NOW_NS,
    }
    return Request(**{**fields, **changes})
