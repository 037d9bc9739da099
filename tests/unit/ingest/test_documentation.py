"""/openapi.json: every operation is told of in full, and its examples are what it says."""

from __future__ import annotations

import copy
import hashlib
import hmac
import re
from typing import Any, get_args

import jsonschema_rs
import pytest

from ingest import refusals
from ingest.documentation import documentation_app
from ingest.documented_operations import DOCS
from ingest.documented_orders import ExpiryReason

DOCUMENT: dict[str, Any] = documentation_app(DOCS).openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
UNFILLED = {"timestamp", "signature"}
"""What no example can be given of."""

CONDITIONAL = {"fills", "makerPreventedQuantity", "takerPreventedQuantity"}
"""What not every answer has: without its fills an order's FULL is its RESULT."""


def valid(schema: dict[str, Any], value: Any) -> bool:
    return bool(jsonschema_rs.is_valid(schema, value))


def answered(label: str) -> tuple[Any, Any]:
    """Return what judges the operation's answer, and the example of it."""
    told = OPERATIONS[label]["responses"]["200"]["content"]["application/json"]
    schema = {**told["schema"], "components": DOCUMENT["components"]}
    return jsonschema_rs.validator_for(schema), told["example"]


@pytest.mark.parametrize("label", OPERATIONS)
def test_an_operation_has_summary_request_and_answer(label: str) -> None:
    operation = OPERATIONS[label]
    assert operation["summary"]
    for one in operation.get("parameters", ()):
        if one["required"] and one["name"] not in UNFILLED:
            assert valid(one["schema"], one["example"]), one["name"]
    for body in operation.get("requestBody", {}).get("content", {}).values():
        assert set(body["schema"]["required"]) - UNFILLED <= set(body["example"])
        for name, value in body["example"].items():
            assert valid(body["schema"]["properties"][name], value), name
    judge, example = answered(label)
    assert judge.is_valid(example)


@pytest.mark.parametrize("label", OPERATIONS)
def test_an_answers_schema_leaves_nothing_open(label: str) -> None:
    """Without one of its fields, or with one more, no example would be the documented answer."""
    judge, example = answered(label)
    row = example[0] if isinstance(example, list) and example else example
    if not isinstance(row, dict):
        return
    for name in row:
        if name in CONDITIONAL:
            continue
        changed = copy.deepcopy(example)
        inner = changed[0] if isinstance(changed, list) else changed
        del inner[name]
        assert not judge.is_valid(changed), name
    changed = copy.deepcopy(example)
    (changed[0] if isinstance(changed, list) else changed)["unheardOf"] = 1
    assert not judge.is_valid(changed)


def test_every_reason_of_an_expiry_is_documented() -> None:
    assert set(refusals.EXPIRY.values()) <= set(get_args(ExpiryReason))


def test_the_worked_signature_is_right() -> None:
    described = DOCUMENT["info"]["description"]
    secret = re.search(r"the secret `(.+?)`", described)
    signed = re.search(r"(\S+)&signature=([0-9a-f]{64})\n", described)
    assert secret is not None
    assert signed is not None
    made = hmac.new(secret[1].encode(), signed[1].encode(), hashlib.sha256).hexdigest()
    assert signed[2] == made
