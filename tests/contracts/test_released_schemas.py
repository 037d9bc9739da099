"""Every released message can still be read, and its readers still read what we write."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import commands, events, released

PRESENT = released.released_types(commands, events)
RELEASED = released.load()
CANCEL = released.describe(PRESENT["CancelOrder.v1"])


def test_every_message_was_released() -> None:
    assert set(PRESENT) == set(RELEASED), "run tools/release_schemas.py"


@pytest.mark.parametrize("tag", sorted(RELEASED))
def test_released_message_is_compatible(tag: str) -> None:
    assert tag in PRESENT, f"{tag} was released and is gone"
    assert released.incompatibilities(RELEASED[tag], released.describe(PRESENT[tag])) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"account_id": None}, "was removed"),
        ({"account_id": {"required": False, "kinds": ["int"]}}, "required and optional"),
        ({"account_id": {"required": True, "kinds": ["str"]}}, "was"),
        ({"extra": {"required": True, "kinds": ["int"]}}, "new field extra is required"),
    ],
)
def test_breaking_change_is_found(change: dict[str, Any], problem: str) -> None:
    changed = {name: field for name, field in {**CANCEL, **change}.items() if field is not None}
    assert [p for p in released.incompatibilities(CANCEL, changed) if problem in p]


def test_optional_field_and_longer_enumeration_are_fine() -> None:
    changed = {**CANCEL, "extra": {"required": False, "kinds": ["int"]}}
    assert released.incompatibilities(CANCEL, changed) == []
    side = {"side": {"required": True, "kinds": ["enum:BUY"]}}
    longer = {"side": {"required": True, "kinds": ["enum:BUY", "enum:SELL"]}}
    assert released.incompatibilities(side, longer) == []
    assert released.incompatibilities(longer, side)
