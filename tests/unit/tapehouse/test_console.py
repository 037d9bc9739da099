"""Logging of the tools: to standard error, whichever stream that is by then."""

from __future__ import annotations

import io
import sys

import pytest
import structlog

from tapehouse.console import log_to_stderr


def test_logs_follow_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    log_to_stderr()
    log = structlog.get_logger()
    log.info("one")
    monkeypatch.setattr(sys, "stderr", second)
    first.close()
    log.info("two")
    assert "two" in second.getvalue()
