"""/docs and /openapi.json of the public API: it describes every route, and the edge answers."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
from fastapi import FastAPI

from ingest import documented_market, documented_orders, offline_docs
from ingest.documented_market import SHAPES, Shape
from ingest.documented_operations import DOCS, Doc
from ingest.documented_parameters import SIGNED, form_schema, query_parameter

EXAMPLES: Final = Path(__file__).with_name("answer_examples.json")
"""What an exchange answered to the documented requests: written by `python -m tools.record_answers`."""
_ERROR: Final = {
    "type": "object",
    "properties": {"code": {"type": "integer"}, "msg": {"type": "string"}},
    "required": ["code", "msg"],
    "additionalProperties": False,
    "example": {"code": -1121, "msg": "Invalid symbol."},
}


_REPLACE_RESULT: Final = {"type": "string", "enum": ["SUCCESS", "FAILURE", "NOT_ATTEMPTED"]}
_REPLACE_ERROR: Final = {
    "type": "object",
    "properties": {
        "code": {"type": "integer"},
        "msg": {"type": "string"},
        "data": {
            "type": "object",
            "properties": {
                "cancelResult": _REPLACE_RESULT,
                "newOrderResult": _REPLACE_RESULT,
                "cancelResponse": {"type": "object"},
                "newOrderResponse": {"type": ["object", "null"]},
            },
            "required": ["cancelResult", "newOrderResult", "cancelResponse", "newOrderResponse"],
            "additionalProperties": False,
        },
    },
    "required": ["code", "msg"],
    "additionalProperties": False,
    "example": {
        "code": -2022,
        "msg": "Order cancel-replace failed.",
        "data": {
            "cancelResult": "FAILURE",
            "newOrderResult": "NOT_ATTEMPTED",
            "cancelResponse": {"code": -2011, "msg": "Unknown order sent."},
            "newOrderResponse": None,
        },
    },
}
_ERROR_OF: Final = {"/api/v3/order/cancelReplace": "ReplaceError"}
_SIGNING_KEY: Final = "my-secret"
_SIGNED_QUERY: Final = "symbol=BTCUSDT&timestamp=1700000000000"
_SIGNATURE: Final = hmac.digest(_SIGNING_KEY.encode(), _SIGNED_QUERY.encode(), hashlib.sha256).hex()
_DESCRIPTION: Final = f"""The Binance Spot shape. Market streams: WebSocket under `/ws` and `/stream`;
requests and user data over one connection: `/ws-api/v3`.

Operations with a lock want an API key in the header `X-MBX-APIKEY`. Those with a `signature` also want the
time and a proof: the HMAC-SHA256 of everything that is sent, query string and then body, under the key's
secret, as hex in the last parameter. With the secret `{_SIGNING_KEY}`, the query

    {_SIGNED_QUERY}

is sent as

    {_SIGNED_QUERY}&signature={_SIGNATURE}

An Ed25519 or RSA key signs the same bytes, in base64. Parameters of POST may be in the query, too.
"""
PATHS: Final = ("/openapi.json", *offline_docs.paths("/docs"))


def documentation_app(served: Iterable[tuple[str, str]], prefix: str = "") -> FastAPI:
    """Return an application with /docs and /openapi.json for the routes that are served here."""
    app = FastAPI(title="Tapehouse", version="3", docs_url=None, redoc_url=None)
    offline_docs.add_page(app, "/docs", "Tapehouse", prefix)
    answers, shapes = _answer_schemas()
    examples = json.loads(EXAMPLES.read_text())
    paths: dict[str, Any] = {}
    for method, path in sorted(served, key=lambda pair: pair[1]):
        doc = DOCS.get((method, path))
        if doc is not None:
            operation = _operation(method, path, doc)
            answer = {"schema": answers[method, path], "example": examples[f"{method} {path}"]}
            operation["responses"]["200"]["content"] = {"application/json": answer}
            paths.setdefault(path, {})[method.lower()] = operation
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Tapehouse", "version": "3", "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": {**shapes, "Error": _ERROR, "ReplaceError": _REPLACE_ERROR},
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-MBX-APIKEY"}},
        },
    }
    app.openapi = lambda: document  # type: ignore[method-assign]
    return app


def _answer_schemas() -> tuple[dict[tuple[str, str], dict[str, Any]], dict[str, Any]]:
    """Return the schema of what each operation answers, and the shapes that these name."""
    every = [
        found
        for module in (documented_market, documented_orders)
        for found in vars(module).values()
        if inspect.isclass(found) and issubclass(found, Shape)
    ]
    places = [(operation, kind) for operation, doc in DOCS.items() for kind in doc.answer]
    made, shapes = msgspec.json.schema_components(
        [*(kind for _, kind in places), *every], ref_template=SHAPES
    )
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for (operation, _), schema in zip(places, made, strict=False):
        found.setdefault(operation, []).append(schema)
    return {op: one[0] if len(one) == 1 else {"anyOf": one} for op, one in found.items()}, shapes


def _operation(method: str, path: str, doc: Doc) -> dict[str, Any]:
    names = (*doc.parameters, *SIGNED) if doc.signed else doc.parameters
    error = _ERROR_OF.get(path, "Error")
    refusal = {"schema": {"$ref": f"#/components/schemas/{error}"}}
    operation: dict[str, Any] = {
        "summary": doc.summary,
        "tags": [_tag(method, doc)],
        "responses": {
            "200": {"description": "Done"},
            "4XX": {"description": "Refused", "content": {"application/json": refusal}},
        },
    }
    if method == "POST" and names:
        form = {"schema": form_schema(names), "example": doc.request}
        operation["requestBody"] = {"content": {"application/x-www-form-urlencoded": form}}
    elif names:
        operation["parameters"] = [query_parameter(name, doc.request) for name in names]
    if doc.signed or doc.needs_key:
        operation["security"] = [{"key": []}]
    return operation


def _tag(method: str, doc: Doc) -> str:
    if doc.needs_key:
        return "user data"
    if not doc.signed:
        return "market"
    return "account" if method == "GET" else "trading"
