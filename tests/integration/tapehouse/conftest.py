"""Figures of a short benchmark, shown after the tests: looked at, never judged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

_SHOWN = pytest.StashKey[list[str]]()


@pytest.fixture
def shown_at_the_end(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Call it with text that the run's summary shall hold."""
    return request.config.stash.setdefault(_SHOWN, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for text in config.stash.get(_SHOWN, []):
        terminalreporter.section("a short benchmark (never judged)")
        terminalreporter.write_line(text.rstrip())
