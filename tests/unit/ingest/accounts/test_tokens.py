"""Tokens over a change of keys: the first secret signs, the others still verify."""

from __future__ import annotations

import time
from uuid import uuid4

import pytest

from ingest.accounts.tokens import Access, Refresh, Tokens
from ingest.management_refusal import ManagementRefusal
from ingest.settings import AccountOptions

OLD, NEW = "o" * 32, "n" * 32
SESSION = uuid4()


def tokens(*secrets: str) -> Tokens:
    return Tokens(secrets, AccountOptions())


def test_a_key_is_changed_without_signing_anybody_out() -> None:
    now_s = int(time.time())
    before, both, after = tokens(OLD), tokens(NEW, OLD), tokens(NEW)
    access, refresh = before.access(1001, SESSION, now_s), before.refresh(SESSION, 3)
    assert both.read_access(access) == Access(1001, SESSION)
    assert both.read_refresh(refresh) == Refresh(SESSION, 3)
    assert after.read_access(both.access(1001, SESSION, now_s)) == Access(1001, SESSION)
    assert after.read_refresh(both.refresh(SESSION, 4)) == Refresh(SESSION, 4)
    with pytest.raises(ManagementRefusal):
        after.read_access(access)
    with pytest.raises(ManagementRefusal):
        after.read_refresh(refresh)


def test_every_access_token_is_another() -> None:
    made = tokens(OLD)
    assert made.access(1001, SESSION, 1) != made.access(1001, SESSION, 1)


def test_a_generation_or_session_that_was_changed_is_refused() -> None:
    made = tokens(OLD)
    good = made.refresh(SESSION, 3)
    other = good.replace(SESSION.hex, uuid4().hex)
    for forged in (good.replace(".3.", ".2."), good.replace(".3.", ".03."), other, good + "A", good[:-1]):
        with pytest.raises(ManagementRefusal) as refused:
            made.read_refresh(forged)
        assert (refused.value.status, refused.value.code) == (401, "token_invalid")
