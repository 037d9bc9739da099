"""Send generated requests to a running exchange: no 5xx, no answer that its own OpenAPI does not describe.

Usage: python -m tools.fuzz_api --requests 100000 [--seed 1] [--minutes 10]

The three documents (trading, accounts, operator) are read from the exchange that the settings name, and
requests are made from them by schemathesis, right ones and wrong ones, signed or signed in as they should
be most of the time. Making one takes much longer than answering it, so each comes with some that mix and
spoil what was made before, or do as the document's own example does, over one connection that is kept. Every
answer is held to compiled schemas; the answers to what schemathesis made are also held to its own checks. The
account has money, so that orders enter, rest and trade, and what was answered (order ids and the like) is
used again. Give the exchange generous limits
(TAPEHOUSE_LIMITS__REQUEST_WEIGHT_1M, TAPEHOUSE_LIMITS__RAW_REQUESTS_5M,
TAPEHOUSE_ACCOUNTS__REGISTRATIONS_1H), else most answers are 429, and say where the token of its operator is
(TAPEHOUSE_SECRETS__OPERATOR_TOKEN_FILE).
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import http.client
import json
import re
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import httpx
import jsonschema_rs
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    status_code_conformance,
)

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
]
"""Without `response_schema_conformance`: 4.32 cannot read a `prefixItems` it has converted itself."""
PASSWORD: Final = "a password for fuzzing"
_SHOWN: Final = 20
_BATCH: Final = 20
_MIXED: Final = 39
_TELL_EVERY_S: Final = 30.0
_POOL: Final = 200
_KEPT: Final = 0.8
_SPOILED: Final = 0.3
_ODD: Final = (
    *("", "0", "-1", "1", "00", "1e400", "NaN", "Infinity", "-0.00000000", "0.000000001", " 1", "null"),
    *("true", "[]", '["BTCUSDT"]', '["BTCUSDT","BTCUSDT"]', "{}", "BTCUSDT", "btcusdt", "ETHBTC", "a" * 37),
    *(str(2**31), str(2**53 + 1), str(2**63), str(2**64), "9" * 40),
    *("\x00", "\r\nX: y", "\u0661", "\u202e", "%00", "../..", "'--"),
    *(0, -1, 2**63, 1.5, 1e308, True, None, [], {}, [[]], {"a": {}}),
)
_AS_SHOWN: Final = 0.5
"""How many of the mixed do as the document's example does, but for a few values."""
_VARIED: Final = 0.15
_LEARNED: Final = {
    "orderId": ("orderId", "cancelOrderId"),
    "orderListId": ("orderListId",),
    "clientOrderId": ("origClientOrderId", "cancelOrigClientOrderId"),
    "listClientOrderId": ("origClientOrderId", "listClientOrderId"),
    "listenKey": ("listenKey",),
}
"""A field of an answer -> the parameters that may say it later."""
_REMEMBERED: Final = 50
_FUNDS: Final = {"BTC": "1000", "ETH": "1000", "SOL": "1000", "USDT": "100000000"}
_SIGNING_OUT: Final = ("DELETE /account/v1/sessions", "DELETE /account/v1/sessions/current")
"""After these the token is good for nothing: they come last."""
_KEY_KNOWN_S: Final = 5.0
_CREDENTIALS_LEFT_OUT: Final = 0.1
_HEADER_CHARACTERS: Final = frozenset(map(chr, range(32, 127)))


@dataclass
class Finding:
    operation: str
    request: str
    status: int
    body: str
    problems: list[str]


@dataclass
class Report:
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    """Operation -> how often it was answered by 2xx."""
    findings: list[Finding] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        counts = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        kinds = {(f.operation, f.status, *f.problems): f for f in self.findings}
        yield f"{self.requests} requests ({counts}), {len(kinds)} kinds of findings"
        least = min(self.done.values(), default=0)
        yield f"{len(self.done)} operations were also done, each {least} times or oftener"
        for finding in list(kinds.values())[:_SHOWN]:
            yield f"{finding.operation}: {finding.request}"
            yield f"  {finding.status} {finding.body[:300]}"
            yield f"  {'; '.join(finding.problems)}"


@dataclass
class Target:
    """A running exchange, and one account of it."""

    base: str
    admin: str
    operator_token: str
    http: httpx.Client
    login: str
    api_key: str = ""
    secret: str = ""
    access_token: str = ""
    other_key: str = ""
    """What requests about a key name: it will be changed and revoked."""
    users: int = 0

    def prepare(self) -> None:
        """Register the fuzzer's own user, another one each time, and make it a key."""
        self.users += 1
        credentials = {"login": f"{self.login}-{self.users}", "password": PASSWORD}
        made = self.http.post(f"{self.base}/account/v1/users", json=credentials)
        if made.status_code != 201:
            raise SystemExit(f"the exchange does not register users: {made.status_code} {made.text}")
        self._fund(made.json()["account_id"])
        signed_in = self.http.post(f"{self.base}/account/v1/sessions", json=credentials).json()
        self.access_token = signed_in["access_token"]
        headers = {"Authorization": f"Bearer {self.access_token}"}
        key = self.http.post(f"{self.base}/account/v1/api-keys", json={}, headers=headers).json()
        self.api_key, self.secret = key["api_key"], key["secret"]
        other = self.http.post(f"{self.base}/account/v1/api-keys", json={}, headers=headers).json()
        self.other_key = other["api_key"]
        ends = time.monotonic() + _KEY_KNOWN_S
        while time.monotonic() < ends and self._key_is_unknown():
            time.sleep(0.02)

    def _fund(self, account_id: int) -> None:
        headers = {"Authorization": f"Bearer {self.operator_token}"}
        for asset, amount in _FUNDS.items():
            deposit = {"asset": asset, "amount": amount}
            place = f"{self.admin}/admin/v1/accounts/{account_id}/deposits"
            self.http.post(place, json=deposit, headers=headers).raise_for_status()

    def _key_is_unknown(self) -> bool:
        """Whether the worker has yet to look for changed keys: it asks for a timestamp once it knows it."""
        answer = self.http.get(f"{self.base}/api/v3/account", headers={"X-MBX-APIKEY": self.api_key})
        return answer.status_code == 401


class Parts(NamedTuple):
    """What a request is made of."""

    path: Mapping[str, Any]
    headers: Mapping[str, Any]
    query: Any
    body: Any


class Documented:
    """The answers that one operation may give: status, content type and body, the schemas compiled."""

    def __init__(self, operation: Mapping[str, Any], components: Mapping[str, Any]) -> None:
        self._types: dict[str, dict[str, Any]] = {}
        for status, told in operation["responses"].items():
            self._types[str(status).upper()] = {
                media: jsonschema_rs.validator_for({**content.get("schema", {}), "components": components})
                for media, content in told.get("content", {}).items()
            }

    def problems(self, answer: httpx.Response) -> list[str]:
        if answer.status_code >= 500:
            return ["Server error"]
        status = answer.status_code
        names = (str(status), f"{status // 100}XX", "DEFAULT")
        types = next((self._types[name] for name in names if name in self._types), None)
        if types is None:
            return ["Undocumented HTTP status code"]
        media = answer.headers.get("content-type", "").partition(";")[0]
        if types and media not in types:
            return [f"Undocumented Content-Type: {media}"]
        if media != "application/json" or not types:
            return []
        try:
            body = json.loads(answer.content)
        except ValueError:
            return ["JSON deserialization error"]
        wrong = types[media].iter_errors(body)
        return [f"Response violates schema: {error.message[:200]}" for error in wrong]


def shown_request(operation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that the operation's example says; of a JSON body none."""
    form = operation.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded", {})
    if form:
        return dict(form.get("example", {}))
    given = operation.get("parameters", ())
    return {one["name"]: one["example"] for one in given if one["in"] == "query" and "example" in one}


class Wire:
    """One kept connection to a server."""

    def __init__(self, base: str, timeout_s: float = 20.0) -> None:
        parts = urlsplit(base)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)

    def send(self, request: httpx.Request) -> httpx.Response:
        """Send it; once more when the server had closed the connection meanwhile."""
        try:
            return self._send(request)
        except (http.client.RemoteDisconnected, ConnectionError):
            self._connection.close()
            return self._send(request)

    def close(self) -> None:
        self._connection.close()

    def _send(self, request: httpx.Request) -> httpx.Response:
        place = request.url.raw_path.decode()
        self._connection.request(request.method, place, request.content, dict(request.headers))
        answer = self._connection.getresponse()
        headers, body = answer.getheaders(), answer.read()
        told = httpx.Response(answer.status, headers=headers, content=body, request=request)
        told.elapsed = timedelta()  # schemathesis asks
        return told


class Fuzzer:
    def __init__(
        self, target: Target, seed: int, mixed: int = _MIXED, tell: Callable[[str], None] = print
    ) -> None:
        self.tell = tell
        self._target = target
        self._seed = seed
        self._mixed_each = mixed
        self._wires = {base: Wire(base) for base in (target.base, target.admin)}
        self._documented: dict[str, Documented] = {}
        self._shown: dict[str, dict[str, Any]] = {}
        self._learned: dict[str, deque[Any]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._random = Random(seed)
        self.report = Report()
        self._pools: dict[str, list[Parts]] = {}
        self._operations = [
            (base, operation)
            for base, url in (
                (target.base, f"{target.base}/openapi.json"),
                (target.base, f"{target.base}/account/v1/openapi.json"),
                (target.admin, f"{target.admin}/openapi.json"),
            )
            for operation in self._read(url)
        ]

    def _read(self, url: str) -> list[Any]:
        document = self._target.http.get(url).raise_for_status().json()
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                label = f"{method.upper()} {path}"
                self._documented[label] = Documented(operation, document.get("components", {}))
                self._shown[label] = shown_request(operation)
        schema = schemathesis.openapi.from_dict(document)
        return [result.ok() for result in schema.get_all_operations()]

    def run(self, requests: int, seconds: float) -> Report:
        """Go round all operations until enough was sent, or the time is over."""
        try:
            return self._run(requests, seconds)
        finally:
            for wire in self._wires.values():
                wire.close()

    def _run(self, requests: int, seconds: float) -> Report:
        ends, round_number = time.monotonic() + seconds, 0
        next_told = time.monotonic() + _TELL_EVERY_S
        while self.report.requests < requests:
            round_number += 1
            each = min(_BATCH, max((requests - self.report.requests) // len(self._operations) // 2, 1))
            self._random.shuffle(self._operations)
            self._operations.sort(key=lambda pair: pair[1].label in _SIGNING_OUT)
            for base, operation in self._operations:
                for mode in schemathesis.GenerationMode:
                    if time.monotonic() > ends or self.report.requests >= requests:
                        return self.report
                    self._some(base, operation, mode, each, round_number)
                    if time.monotonic() > next_told:
                        next_told += _TELL_EVERY_S
                        self.tell(f"{self.report.requests:,} sent, {len(self.report.findings)} wrong")
            self._learned.clear()
            self._target.prepare()  # the one before has signed out, or guessed at its own password
        return self.report

    def _some(self, base: str, operation: Any, mode: Any, count: int, round_number: int) -> None:
        @hypothesis_seed(hash((self._seed, round_number)))
        @settings(
            max_examples=count,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def each(case: Any) -> None:
            self._send(base, case)

        try:
            each()
        except schemathesis.errors.InvalidSchema as error:
            raise SystemExit(f"{operation.label}: {error}") from error
        except Exception as error:
            if type(error).__name__ != "Unsatisfiable":  # nothing wrong can be said to this operation
                raise

    def _send(self, base: str, case: Any) -> None:
        """Send what was made, and mixtures of it with what was made before for the same operation."""
        made = Parts(case.path_parameters or {}, case.headers or {}, case.query, case.body)
        pool = self._pools.setdefault(case.operation.label, [])
        if len(pool) < _POOL:
            pool.append(made)
        else:
            pool[self._random.randrange(_POOL)] = made
        self._send_one(base, case, made, generated=True)
        for _ in range(self._mixed_each):
            mixed = self._mixed(pool)
            if self._shown[case.operation.label] and self._random.random() < _AS_SHOWN:
                mixed = self._as_shown(case, mixed)
            self._send_one(base, case, mixed, generated=False)

    def _as_shown(self, case: Any, parts: Parts) -> Parts:
        """Return the request that the document shows, with numbers that exist, and few values otherwise."""
        in_body = case.media_type == "application/x-www-form-urlencoded"
        mixed = parts.body if in_body else parts.query
        kept = mixed if isinstance(mixed, Mapping) else {}
        values = {
            name: self._random.choice(self._learned[name]) if self._learned.get(name) else value
            for name, value in self._shown[case.operation.label].items()
        }
        values |= {name: value for name, value in kept.items() if self._random.random() < _VARIED}
        values |= {name: "" for name in ("timestamp", "signature") if name in kept}  # so that it is signed
        return parts._replace(body=values) if in_body else parts._replace(query=values)

    def _learn(self, body: Any) -> None:
        """Remember the numbers and names that an answer tells."""
        if isinstance(body, list):
            for one in body:
                self._learn(one)
        elif isinstance(body, dict):
            for field_name, value in body.items():
                if isinstance(value, list | dict):
                    self._learn(value)
                elif value != -1:
                    for name in _LEARNED.get(field_name, ()):
                        self._learned[name].append(value)

    def _mixed(self, pool: list[Parts]) -> Parts:
        first, second = self._random.choice(pool), self._random.choice(pool)
        mixed = (self._mix(one, other) for one, other in zip(first, second, strict=True))
        return Parts(*(self._spoil(part) if self._random.random() < _SPOILED else part for part in mixed))

    def _spoil(self, part: Any) -> Any:
        """Give one of the values to say something else: an odd one, or a neighbour's."""
        if not isinstance(part, Mapping) or not part:
            return part
        name = self._random.choice(list(part))
        value = self._random.choice((self._random.choice(_ODD), self._random.choice(list(part.values()))))
        return {**part, name: value}

    def _mix(self, one: Any, other: Any) -> Any:
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            return {
                k: v for k, v in {**one, **other}.items() if self._random.random() < _KEPT or k not in one
            }
        return self._random.choice((one, other))

    def _send_one(self, base: str, case: Any, parts: Parts, generated: bool) -> None:
        request = self._request(base, case, parts)
        if request is None:
            return
        answer = self._wires[base].send(request)
        self.report.requests += 1
        self.report.statuses[answer.status_code] += 1
        if answer.is_success:
            self.report.done[case.operation.label] += 1
        problems = self._documented[case.operation.label].problems(answer)
        if answer.status_code == 200 and self._shown[case.operation.label]:
            self._learn(answer.json())
        if generated:
            problems += _refuted(case, answer)
        if problems:
            shown = f"{request.method} {request.url} {request.content[:300]!r}"
            self.report.findings.append(
                Finding(case.operation.label, shown, answer.status_code, answer.text, problems)
            )

    def _request(self, base: str, case: Any, parts: Parts) -> httpx.Request | None:
        """Return the request on the wire, or None for what no client can send."""
        headers = {n: str(v) for n, v in parts.headers.items() if _sendable(str(v))}
        query, body = _pairs(parts.query), parts.body
        path = case.path
        for name in re.findall(r"{(\w+)}", path):
            value = parts.path.get(name, "")
            known = name == "api_key" and self._random.random() < 0.5
            path = path.replace(
                f"{{{name}}}", quote(self._target.other_key if known else str(value), safe="")
            )
        content = b""
        if case.media_type == "application/x-www-form-urlencoded" and isinstance(body, Mapping):
            form = _pairs(body)
            query, form = self._credentials(path, headers, query, form, in_body=True)
            content = urlencode(form).encode()
            headers["Content-Type"] = case.media_type
        else:
            query, _ = self._credentials(path, headers, query, [], in_body=False)
            if case.media_type is not None and not isinstance(body, schemathesis.core.NotSet):
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                headers["Content-Type"] = case.media_type
        try:
            return self._target.http.build_request(
                case.method, f"{base}{path}?{urlencode(query)}", content=content, headers=headers
            )
        except (ValueError, UnicodeError, httpx.InvalidURL):
            return None

    def _credentials(
        self,
        path: str,
        headers: dict[str, str],
        query: list[tuple[str, str]],
        form: list[tuple[str, str]],
        in_body: bool,
    ) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Add what says who asks, but not always."""
        if self._random.random() < _CREDENTIALS_LEFT_OUT:
            return query, form
        if path.startswith("/admin/"):
            headers["Authorization"] = f"Bearer {self._target.operator_token}"
        elif path.startswith("/account/"):
            headers["Authorization"] = f"Bearer {self._target.access_token}"
        else:
            headers["X-MBX-APIKEY"] = self._target.api_key
            signed = {"timestamp", "signature"} & {name for name, _ in query + form}
            if signed:
                own = [
                    pair for pair in (form if in_body else query) if pair[0] not in ("timestamp", "signature")
                ]
                own.append(("timestamp", str(int(time.time() * 1000))))
                payload = (urlencode(query) if in_body else "") + urlencode(own)
                proof = hmac.digest(self._target.secret.encode(), payload.encode(), hashlib.sha256).hex()
                own.append(("signature", proof))
                query, form = (query, own) if in_body else (own, form)
        return query, form


def _refuted(case: Any, answer: httpx.Response) -> list[str]:
    """Return what schemathesis itself has to say against the answer."""
    try:
        case.validate_response(answer, checks=CHECKS)
    except FailureGroup as group:
        return [str(failure).splitlines()[0] for failure in group.exceptions]
    except Failure as failure:
        return [str(failure).splitlines()[0]]
    return []


def _pairs(values: Any) -> list[tuple[str, str]]:
    if not isinstance(values, Mapping):
        return []
    return [
        (str(name), value if isinstance(value, str) else json.dumps(value))
        for name, value in values.items()
        if _encodable(str(name)) and (not isinstance(value, str) or _encodable(value))
    ]


def _sendable(value: str) -> bool:
    return set(value) <= _HEADER_CHARACTERS and value == value.strip()


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def main() -> int:
    """Return 0 when there is nothing to tell."""
    from tapehouse.account import AdminSettings

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0)
    given_arguments = parser.parse_args()
    known = AdminSettings()
    with httpx.Client(timeout=20, trust_env=False) as http:
        target = Target(
            base=f"http://{known.ports.host}:{known.ports.api}",
            admin=known.admin_url or f"http://127.0.0.1:{known.ports.admin}",
            operator_token=known.secrets.operator_token_file.read_text().strip(),
            http=http,
            login=f"fuzz-{int(time.time())}",
        )
        target.prepare()
        report = Fuzzer(target, given_arguments.seed).run(
            given_arguments.requests, given_arguments.minutes * 60
        )
    print("\n".join(report.lines()))
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
