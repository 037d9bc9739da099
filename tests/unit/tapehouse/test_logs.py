from __future__ import annotations

from pathlib import Path

import pytest

from tapehouse import logs
from tapehouse.errors import FAILED, USAGE, OperatorError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("matcher-0", "matcher-1", "market-data-0", "kafka"):
        (tmp_path / f"{name}.log").write_text(f"{name} speaks\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("matcher", ["matcher-0", "matcher-1"]),
        ("matcher-1", ["matcher-1"]),
        ("market-data", ["market-data-0"]),
        ("kafka", ["kafka"]),
        (None, ["kafka", "market-data-0", "matcher-0", "matcher-1"]),
    ],
)
def test_a_name_is_a_process_or_a_service(folder: Path, name: str | None, expected: list[str]) -> None:
    assert [path.stem for path in logs.log_files(folder, name)] == expected


def test_unknown_name_is_wrong_use_and_lists_what_there_is(folder: Path) -> None:
    with pytest.raises(OperatorError, match="there are kafka, market-data-0") as caught:
        logs.log_files(folder, "match")
    assert caught.value.exit_code == USAGE


def test_no_logs_means_nothing_was_started(tmp_path: Path) -> None:
    with pytest.raises(OperatorError) as caught:
        logs.log_files(tmp_path, None)
    assert caught.value.exit_code == FAILED


def test_following_shows_whole_lines_once_and_goes_on_after_a_rotation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "matcher-0.log"
    path.write_text("one\ntwo\nhal")
    shown = logs.show_new(path, 0, width=9)
    path.write_text("one\ntwo\nhalf\n")
    shown = logs.show_new(path, shown, width=9)
    path.write_text("new\n")
    logs.show_new(path, shown, width=9)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"matcher-0 | {text}" for text in ("one", "two", "half", "new")]
