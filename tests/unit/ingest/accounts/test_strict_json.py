"""Bodies: what is one JSON object, and what is not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.accounts.strict_json import read_object
from ingest.management_refusal import ManagementRefusal

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_an_object_is_read_as_it_is(value: dict[str, Any]) -> None:
    assert read_object(json.dumps(value).encode()) == value


@given(st.binary(max_size=40))
def test_anything_else_is_refused_and_nothing_breaks(body: bytes) -> None:
    with contextlib.suppress(ManagementRefusal):
        assert isinstance(read_object(body), dict)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"1", b'"a"', b'{"a":1}{"b":2}', b'{"a":1,"a":1}', b'{"a":Infinity}',
        b"\xef\xbb\xbf{}", '{"a":1}'.encode("utf-16"), b'{"a":' * 17 + b"1" + b"}" * 17,
        b"[" * 100_000, b'{"a":' * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_single_plain_object_is_refused(body: bytes) -> None:
    with pytest.raises(ManagementRefusal):
        read_object(body)
