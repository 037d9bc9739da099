from __future__ import annotations

from pathlib import Path

from tapehouse.supervisor import log_file


def test_tail_gives_last_lines_of_this_run_only(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("old\n")
    since = log_file.size(path)
    with path.open("a") as file:
        file.write("one\ntwo\nthree\n")
    assert log_file.tail(path, 2, since=since) == ["two", "three"]
    assert log_file.tail(path, 9, since=since) == ["one", "two", "three"]
    assert log_file.tail(path, 9) == ["old", "one", "two", "three"]


def test_tail_of_a_file_cut_since_then_is_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("new\n")
    assert log_file.tail(path, 5, since=10_000) == ["new"]
    assert log_file.tail(tmp_path / "none.log", 5) == []


def test_rotation_keeps_the_writer_on_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("ab", buffering=0) as writer:
        for round_ in range(5):
            writer.write(b"%d" % round_ * 20)
            assert log_file.rotate(path, max_bytes=10, keep=2)
        writer.write(b"last")
    assert path.read_text() == "last"
    assert (tmp_path / "a.log.1").read_text() == "4" * 20
    assert (tmp_path / "a.log.2").read_text() == "3" * 20
    assert not (tmp_path / "a.log.3").exists()


def test_small_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text("x" * 10)
    assert not log_file.rotate(path, max_bytes=10)
    assert path.read_text() == "x" * 10
