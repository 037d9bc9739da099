"""Which control group is taken, what is written into it, and what is said where none can be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tapehouse.bench.cpu_share import CpuShares, Mounted, NoShares, find_groups

FIRST = "cgroup {root}/memory cgroup rw,memory 0 0\ncgroup {root}/cpu cgroup rw,cpu,cpuacct 0 0\n"
SECOND = "cgroup2 {root}/all cgroup2 rw 0 0\n"


def proc(root: Path, mounts: str, groups: str) -> Path:
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "mounts").write_text(mounts.format(root=root))
    (root / "proc" / "self" / "cgroup").write_text(groups)
    return root / "proc"


def offer(folder: Path, controllers: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "cgroup.controllers").write_text(controllers)
    return folder


def test_version_one(tmp_path: Path) -> None:
    found = find_groups(proc(tmp_path, FIRST, "4:memory:/m\n2:cpu,cpuacct:/a/b\n"))
    assert found == Mounted(tmp_path / "cpu" / "a" / "b", unified=False)
    found.folder.mkdir(parents=True)
    shares = CpuShares(0.5, found)
    shares.divide([71, 72])
    (first, second) = sorted(found.folder.iterdir())
    assert (first.name[-3:], second.name[-3:]) == ("-71", "-72")
    told = {file.name: file.read_text() for file in second.iterdir()}
    assert told == {"cpu.cfs_period_us": "20000", "cpu.cfs_quota_us": "5000", "cgroup.procs": "72"}


def test_version_two(tmp_path: Path) -> None:
    folder = offer(tmp_path / "all" / "user", "cpu memory")
    found = find_groups(proc(tmp_path, SECOND, "0::/user\n"))
    assert found == Mounted(folder, unified=True)
    CpuShares(1.0, found).divide([7])
    assert (folder / "cgroup.subtree_control").read_text() == "+cpu"
    (group,) = folder.glob("tapehouse-bench-*-7")
    assert ((group / "cpu.max").read_text(), (group / "cgroup.procs").read_text()) == ("20000 20000", "7")


def test_groups_are_removed(tmp_path: Path) -> None:
    shares = CpuShares(0.5, Mounted(tmp_path, unified=False))
    shares.divide([7])
    (group,) = tmp_path.iterdir()
    for file in group.iterdir():  # there they are no files that keep a folder
        file.unlink()
    shares.release()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mounts", ["", "proc /proc proc rw 0 0\n", SECOND])
def test_none_is_mounted(tmp_path: Path, mounts: str) -> None:
    offer(tmp_path / "all", "memory")
    with pytest.raises(NoShares, match="no control group for processor time"):
        find_groups(proc(tmp_path, mounts, "0::/\n"))


def test_one_that_may_not_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoShares, match=r"absent.*No such file"):
        CpuShares(0.5, Mounted(tmp_path / "absent", unified=False))
