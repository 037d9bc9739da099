"""The matcher as a library of its own: what it imports, alone in an environment, and compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

from matcher.replay import main as replay
from schemas.codec import encode
from tests.simulation.matcher.trader import MARKETPLACES
from tests.unit.matcher.orders import BUY, SELL, Desk
from tools.build_matcher_wheel import (
    NEEDS,
    NOT_COMPILED,
    ROOT,
    CannotBuild,
    build,
    compile_for_service,
    compiler,
    modules,
)
from tools.build_matcher_wheel import main as build_wheel

AGREE = """
import hashlib, importlib, sys
from tests.simulation.matcher import streams
files = {name: importlib.import_module(name).__file__ for name in sys.argv[1].split(",")}
print(*[name for name, file in files.items() if not file.endswith(".py")])
for place in sys.argv[2].split(","):
    pair = streams.play(place, 77, 200)
    print(place, hashlib.sha256(pair.engine.state().encode()).hexdigest())
"""
SUITES = """
import sys
import matcher.order_book, pytest
assert not matcher.order_book.__file__.endswith(".py")
sys.exit(pytest.main(sys.argv[1:]))
"""
TEN_LINES = "import pathlib, sys; exec(pathlib.Path(sys.argv[1]).read_text())"


def run(*arguments: object, folder: Path, environment: dict[str, str] | None = None) -> str:
    if environment is None:
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(a) for a in arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def commands(folder: Path) -> Path:
    desk = Desk()
    desk.enter(1, SELL, 101, 5)
    desk.enter(2, BUY, 101, 3)
    desk.cancel(1)
    file = folder / "commands.jsonl"
    file.write_bytes(b"".join(encode(given.command) + b"\n" for given in desk.inputs))
    return file


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with the matcher compiled, once a session."""
    return compile_for_service(tmp_path_factory.mktemp("compiled"), quick=True)


def test_the_library_needs_nothing_but_what_its_wheel_declares() -> None:
    found = modules()
    assert {name.partition(".")[0] for name in found} == {"matcher", "schemas"}
    assert {"matcher.symbol_engine", "matcher.replay", "schemas.commands"} <= found.keys()
    assert not {"matcher.handlers", "matcher.recovery", "matcher.snapshots"} & found.keys()


@pytest.mark.parametrize(
    "is_compiled",
    [False, pytest.param(True, marks=pytest.mark.long)],  # half a minute of compiling
    ids=["source", "compiled"],
)
def test_the_wheel_works_alone_in_an_empty_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_compiled: bool
) -> None:
    wheel = build(tmp_path / "dist", is_compiled, quick=True)
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=tmp_path).strip()
    )
    for name in NEEDS.values():
        _copy_distribution(name, packages)
    run(
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--disable-pip-version-check",
        wheel,
        folder=tmp_path,
    )
    text = (ROOT / "docs" / "matching.md").read_text()
    (tmp_path / "ten.py").write_text(text.partition("```python\n")[2].partition("```")[0])
    assert "[(1, 101, 2)] Ending.FILLED" in run(python, "-c", TEN_LINES, "ten.py", folder=tmp_path)
    book = run(python, "-c", "import matcher.order_book as m; print(m.__file__)", folder=tmp_path)
    assert is_compiled == (not book.strip().endswith(".py"))
    file = commands(tmp_path)
    assert replay([str(file)]) == 0
    assert run(python, "-m", "matcher.replay", file, folder=tmp_path) == capsys.readouterr().out


def _copy_distribution(name: str, folder: Path) -> None:
    """Install a distribution offline: as it is here."""
    for file in distribution(name).files or []:
        target = folder / file
        if ".." not in file.parts:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target)


@pytest.mark.long  # half a minute of compiling
def test_compiled_and_interpreted_matcher_agree_with_the_model_and_each_other(
    compiled: dict[str, str],
) -> None:
    hot = [name for name in modules() if name.startswith("matcher") and name not in NOT_COMPILED]
    arguments = ["-c", AGREE, ",".join(hot), ",".join(MARKETPLACES)]
    first, *one = run(sys.executable, *arguments, folder=ROOT, environment=compiled).splitlines()
    nothing, *other = run(sys.executable, *arguments, folder=ROOT).splitlines()
    assert (first.split(), nothing) == (hot, "")
    assert len(one) == len(MARKETPLACES)
    assert one == other


@pytest.mark.long  # half a minute
def test_the_matchers_suites_hold_for_the_compiled_matcher(compiled: dict[str, str]) -> None:
    suites = ("tests/unit/matcher", "tests/simulation/matcher")
    chosen = ("-q", "-p", "no:cacheprovider", "-o", f"pythonpath={compiled['PYTHONPATH']}")
    told = run(
        sys.executable, "-c", SUITES, *chosen, "-m", "not long and not services and not quarantine", *suites,
        folder=ROOT, environment=compiled,
    )  # fmt: skip
    assert " passed" in told.splitlines()[-1]


def test_the_compiler_is_ccs_then_the_machines_then_ziglangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "my-cc -m64")
    assert compiler() == "my-cc -m64"
    monkeypatch.delenv("CC")
    monkeypatch.setattr(shutil, "which", {"gcc": "/usr/bin/gcc"}.get)
    assert compiler() == "gcc"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert compiler() == f"{sys.executable} -m ziglang cc"
    assert "zig" in run(*compiler().split(), "--version", folder=ROOT)


def test_without_any_compiler_the_build_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr("tools.build_matcher_wheel.find_spec", lambda name: None)
    with pytest.raises(CannotBuild):
        compiler()
    assert build_wheel([str(tmp_path), "--compiled"]) == 1
    assert "no C compiler" in capsys.readouterr().err
