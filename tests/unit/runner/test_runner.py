"""What the test run itself promises, by runs of small suites."""

from __future__ import annotations

import pytest

from tests.service_process import REPOSITORY

SERVICE = """
import subprocess, sys, pathlib, pytest
from tests import service_logs

log = pathlib.Path(__file__).with_name("matcher-0.log")
service_logs.watch(log)

def say(line):
    with log.open("a") as file:
        print(line, file=file)
"""


def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tests: str) -> pytest.RunResult:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini(
        "[pytest]\nmarkers =\n    services\n    long\n    quarantine(why)\n    logs_errors(text)\n"
    )
    pytester.makepyfile(SERVICE + tests)
    options = (
        "-p",
        "tests.service_logs",
        "-p",
        "tests.verdict",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
    )
    return pytester.runpytest_subprocess(*options)


def test_a_failure_shows_what_its_services_said(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(
        pytester,
        monkeypatch,
        "def test_it():\n    for n in range(50): say(f'line {n} ends')\n    assert False\n",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*last lines of matcher-0.log*", "line 10 ends", "line 49 ends", "load *"])
    result.stdout.no_fnmatch_line("line 9 ends")


def test_an_error_in_a_log_fails_a_test_that_does_not_name_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = """
error = '{"level": "error", "event": "gap at 7"}'

@pytest.mark.services
def test_unexpected():
    say(error)

@pytest.mark.services
@pytest.mark.logs_errors("gap at")
def test_expected():
    say(error)

@pytest.mark.services
def test_crash():
    say("Traceback (most recent call last):")

@pytest.mark.services
def test_quiet():
    say('{"level": "info", "event": "error of a client"}')
"""
    result = run(pytester, monkeypatch, tests)
    result.assert_outcomes(passed=4, errors=2)
    result.stdout.fnmatch_lines(["*gap at 7*", "ERROR *test_unexpected*", "ERROR *test_crash*"])


def test_a_process_that_is_left_fails_the_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = """
from tapehouse.supervisor.program import bound

def test_it():
    argv = bound([sys.executable, "-c", "import time; time.sleep(600)"])
    globals()["left"] = subprocess.Popen(argv)
"""
    result = run(pytester, monkeypatch, tests)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*left running*", "*time.sleep(600)*", "*1 passed*"])


def test_what_is_in_quarantine_is_counted(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = """
@pytest.mark.quarantine("2026-02-01: later")
def test_one(): pass

@pytest.mark.quarantine("2026-01-01: earlier")
@pytest.mark.parametrize("n", [1, 2])
def test_two(n): pass
"""
    result = run(pytester, monkeypatch, tests)
    result.stdout.fnmatch_lines(
        ["*in quarantine: 3 tests*", "2 x 2026-01-01: earlier", "1 x 2026-02-01: later"]
    )
