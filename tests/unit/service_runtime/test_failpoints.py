from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service_runtime import failpoints
from service_runtime.failpoints import Failpoint, UnknownFailpoint, arm, arm_from, reach
from service_runtime.settings import ServiceSettings

PLACE = Failpoint.MATCHER_AFTER_POLL
SCRIPT = """
from service_runtime.failpoints import Failpoint, arm_from, reach
from service_runtime.settings import ServiceSettings
arm_from(ServiceSettings(), "matcher")
for count in range(1, 5):
    print(count, flush=True)
    reach(Failpoint.MATCHER_AFTER_POLL)
"""


@pytest.fixture(autouse=True)
def nothing_armed() -> Iterator[None]:
    failpoints.disarm()
    yield
    failpoints.disarm()


def run(**env: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, env=env, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout


def test_nothing_happens_where_nothing_is_armed() -> None:
    for place in Failpoint:
        reach(place)
    assert run() == (0, "1\n2\n3\n4\n")


def test_the_nth_reach_ends_the_process() -> None:
    code, output = run(TAPEHOUSE_FAILPOINT=f"{PLACE}:3")
    assert code == 137
    assert output.splitlines()[-2:] == [
        "3",
        '{"event": "failpoint reached, process ends", "name": "matcher.after_poll"}',
    ]


def test_a_file_arms_one_start_of_the_process_it_names(tmp_path: Path) -> None:
    (tmp_path / "matcher-0").write_text(f"{PLACE}:1\n")
    (tmp_path / "matcher-1").write_text(f"{PLACE}:1\n")
    folder = str(tmp_path)
    assert run(TAPEHOUSE_FAILPOINT_FOLDER=folder)[0] == 137
    assert run(TAPEHOUSE_FAILPOINT_FOLDER=folder)[0] == 0
    assert run(TAPEHOUSE_FAILPOINT_FOLDER=folder, TAPEHOUSE_INSTANCE="1")[0] == 137
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["", "matcher.after_poll", f"{PLACE}:0", f"{PLACE}:-1", "matcher.none:1"])
def test_words_that_name_none_are_refused(words: str) -> None:
    with pytest.raises(UnknownFailpoint, match=r"matcher\.after_poll"):
        arm(words)


def test_settings_arm_nothing_by_themselves(tmp_path: Path) -> None:
    arm_from(ServiceSettings(failpoint_folder=tmp_path), "matcher")
    reach(PLACE)
