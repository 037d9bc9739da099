"""How a finished ahead-of-time cache comes to its place."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tapehouse.local_stack import aot_cache


def test_a_cache_made_on_another_disk_comes_whole_to_its_place(tmp_path: Path) -> None:
    others = [p for p in map(Path, ("/dev/shm", "/var/tmp", ".")) if p.is_dir()]
    other = next((p for p in others if p.stat().st_dev != tmp_path.stat().st_dev), None)
    if other is None:
        pytest.skip("everything is on one disk")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        fresh = Path(folder) / "broker.aot"
        fresh.write_bytes(b"cache")
        target = tmp_path / "broker-1.aot"
        target.write_bytes(b"of before")
        (tmp_path / "broker-1.4711.part").write_bytes(b"half of one, by a trainer that was killed")
        aot_cache._publish(fresh, target)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("broker-1.aot", b"cache")]
