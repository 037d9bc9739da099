"""How many examples a property test tries."""

from __future__ import annotations

from hypothesis import settings

_USUAL = 100


def examples(count: int) -> settings:
    """Try `count` examples in the verdict, and in proportion more in a search (docs/testing.md)."""
    return settings(max_examples=count * settings().max_examples // _USUAL)
