"""Who asks, and when: key, timing, signature, permission, in the order of API.md section 1.3."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final, NamedTuple

from ingest.api_keys import ApiKey, KeyStore
from ingest.http_exchange import Request
from schemas import public_errors as errors
from schemas.money import InvalidDecimal, parse_decimal
from schemas.public_parameters import INTEGER_RANGE, Parameters

MAX_RECV_WINDOW_MS: Final = 60_000
DEFAULT_RECV_WINDOW_NS: Final = 5_000_000_000
MAX_AHEAD_NS: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000
_NS_PER_US: Final = 1_000
_MICROSECONDS_FROM: Final = 10**15
_KEY = re.compile(rb"[A-Za-z0-9]{16,128}")
_DIGITS = re.compile(r"[0-9]{1,20}", re.ASCII)
_SIGNATURE = b"signature="


class Caller(NamedTuple):
    """An authenticated request: whose it is, until when it may be executed, what it says."""

    key: ApiKey
    expires_at_ns: int
    parameters: Parameters


def signed_payload(query: bytes, body: bytes) -> bytes:
    """Return what was signed: query string and body as received, joined with nothing, less the signature."""
    if _SIGNATURE in query:
        query = _without_signature(query)
    if _SIGNATURE in body:
        body = _without_signature(body)
    return query + body


def _without_signature(raw: bytes) -> bytes:
    return b"&".join([part for part in raw.split(b"&") if not part.startswith(_SIGNATURE)])


def replay_proof_id(request: Request) -> str:
    """Return the client order id of an order that came without one: 22 characters of what was signed.

    So an exact replay of the request, at any worker, carries the same id and makes no second order.
    """
    digest = blake2b(request.api_key or b"", digest_size=11)
    digest.update(signed_payload(request.query, request.body))
    return digest.hexdigest()


def authenticate(keys: KeyStore, request: Request, trade: bool) -> Caller:
    """Return the caller, or raise the first refusal that applies."""
    now_ns = request.received_ns
    key = live_key(keys, request)
    if request.values is None:
        parameters = Parameters.parse(request.query, request.body)
    else:
        parameters = Parameters(request.values)
    timestamp = parameters.required("timestamp")
    signature = "" if request.logged_on else parameters.required("signature")
    expires_at_ns = check_timing(timestamp, parameters.text("recvWindow"), now_ns)
    if not request.logged_on and not _signed(key, request, signature):
        raise errors.INVALID_SIGNATURE()
    if not (key.can_trade if trade else key.can_read) or not key.allows(request.address):
        raise errors.REJECTED_KEY()
    return Caller(key, expires_at_ns, parameters)


def live_key(keys: KeyStore, request: Request) -> ApiKey:
    """Return the key that the request names, if it is known and has not expired.

    Raises -2014 or -2015; -1008 (503) for an unknown one while a worker that just started still reads them.
    """
    if not request.api_key or _KEY.fullmatch(request.api_key) is None:
        raise errors.BAD_KEY_FORMAT()
    key = keys.get(request.api_key.decode("ascii"))
    if key is None and not keys.whole:
        raise errors.OVERLOADED(retry_after=errors.RETRY_AFTER_S)
    if key is None or (key.expires_at_ns is not None and key.expires_at_ns <= request.received_ns):
        raise errors.REJECTED_KEY()
    return key


def _signed(key: ApiKey, request: Request, signature: str) -> bool:
    if request.signed is None:
        return key.verify(signed_payload(request.query, request.body), signature)
    first, *others = request.signed
    return key.verify(first, signature) or any(key.verify(payload, signature) for payload in others)


def check_timing(timestamp: str, recv_window: str | None, now_ns: int) -> int:
    """Return the end of the receive window, or raise: malformed, window too large, outside of it."""
    if _DIGITS.fullmatch(timestamp) is None:
        raise errors.ILLEGAL_CHARACTERS("timestamp", INTEGER_RANGE)
    sent = int(timestamp)
    sent_ns = sent * (_NS_PER_US if sent >= _MICROSECONDS_FROM else _NS_PER_MS)
    window_ns = DEFAULT_RECV_WINDOW_NS
    if recv_window is not None:
        try:
            window_ns = parse_decimal(recv_window, 3) * _NS_PER_US
        except InvalidDecimal:
            raise errors.ILLEGAL_CHARACTERS("recvWindow", r"^[0-9]{1,20}(\.[0-9]{1,3})?$") from None
        if window_ns > MAX_RECV_WINDOW_MS * _NS_PER_MS:
            raise errors.RECV_WINDOW_TOO_LARGE()
    if sent_ns >= now_ns + MAX_AHEAD_NS:
        raise errors.AHEAD_OF_SERVER()
    if now_ns - sent_ns > window_ns:
        raise errors.OUTSIDE_RECV_WINDOW()
    return sent_ns + window_ns
