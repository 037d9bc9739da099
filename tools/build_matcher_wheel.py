"""Build `tapehouse-matcher`: the matching engine as a library, without the exchange around it.

    python -m tools.build_matcher_wheel FOLDER [--compiled] [--quick]

The wheel holds `matcher.replay`, `matcher` and what they import of ours, and needs only msgspec and
PyYAML. With --compiled its modules are made ready by `tools.native_source` and compiled by mypyc, with the
C compiler that CC names, else the one that is there, else the `ziglang` wheel's (--quick: compiled fast,
not for speed).
"""

from __future__ import annotations

import argparse
import ast
import base64
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from tools.native_source import native

ROOT = Path(__file__).resolve().parent.parent
NAME = "tapehouse_matcher"
OURS = ("matcher", "schemas", "service_runtime")
ENTRIES = ("matcher", "matcher.replay")
NEEDS = {"msgspec": "msgspec", "yaml": "pyyaml"}
"""What may be imported beside the standard library: module and distribution."""
NOT_COMPILED = frozenset({"matcher", "matcher.engine_state", "matcher.replay"})
"""What decodes into structs needs them as they are; a package and a command have no hot path."""


class CannotBuild(Exception):
    """The wheel cannot be built; the text says what is missing."""


def modules() -> dict[str, Path]:
    """Return the modules of the wheel with their files: all that the entries import of ours.

    Raises CannotBuild when that needs a package which the wheel does not declare.
    """
    found: dict[str, Path] = {}
    waiting = list(ENTRIES)
    while waiting:
        name = waiting.pop()
        file = _file_of(name)
        if name in found or file is None:
            continue
        found[name] = file
        waiting.append(name.rpartition(".")[0])
        for imported in _imports(file):
            top = imported.partition(".")[0]
            if top in OURS and top != "service_runtime":
                waiting.append(imported)
            elif top not in sys.stdlib_module_names and top not in NEEDS:
                raise CannotBuild(f"{name} imports {imported}")
    return dict(sorted(found.items()))


def _file_of(name: str) -> Path | None:
    base = ROOT.joinpath(*name.split(".")) if name else ROOT
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if name and file.is_file():
            return file
    return None


def _imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names if node.module in OURS)
    return names


def compiler() -> str:
    """Return the command of a C compiler. Raises CannotBuild when there is none."""
    if os.environ.get("CC"):
        return os.environ["CC"]
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return name
    if find_spec("ziglang") is not None:
        return f"{sys.executable} -m ziglang cc"
    raise CannotBuild("no C compiler: set CC, or install gcc, clang or the ziglang wheel")


def compile_into(folder: Path, quick: bool = False) -> None:
    """Put the modules, and beside them the extensions that mypyc makes of them, into a folder."""
    for file in modules().values():
        target = folder / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    hot = [n for n in modules() if n.startswith("matcher") and n not in NOT_COMPILED]
    files = [str(modules()[name].relative_to(ROOT)) for name in hot]
    for file in files:
        (folder / file).write_text(native((ROOT / file).read_text(encoding="utf-8")), encoding="utf-8")
    script = folder / "setup.py"
    script.write_text(
        "from mypyc.build import mypycify\nfrom setuptools import setup\n"
        f"files = {['--follow-imports=silent', *files]!r}\n"
        f"setup(name={NAME!r}, packages=['matcher'], "
        f"ext_modules=mypycify(files, opt_level={'0' if quick else '3'!r}, debug_level='0'))\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, script.name, "-q", "build_ext", "--inplace"],
        cwd=folder,
        env={**os.environ, "CC": compiler()},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotBuild(f"mypyc or the C compiler failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    script.unlink()
    shutil.rmtree(folder / "build", ignore_errors=True)
    shutil.rmtree(folder / ".mypy_cache", ignore_errors=True)


def compile_for_service(folder: Path, quick: bool = False) -> dict[str, str]:
    """Put the whole of `matcher` into a folder, the library's part compiled.

    Return the environment in which Python imports it instead of the source.
    """
    compile_into(folder, quick)
    shutil.rmtree(folder / "schemas")
    shutil.copytree(ROOT / "matcher", folder / "matcher", dirs_exist_ok=True)
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def build(folder: Path, compiled: bool = False, quick: bool = False) -> Path:
    """Write the wheel into a folder; return its path."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tag = "py3-none-any"
    with tempfile.TemporaryDirectory() as work:
        if compiled:
            compile_into(Path(work), quick)
            source, names = Path(work), sorted(p for p in Path(work).rglob("*") if p.is_file())
            python = f"cp{sys.version_info.major}{sys.version_info.minor}"
            tag = f"{python}-{python}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        else:
            source, names = ROOT, list(modules().values())
        names = [name for name in names if name.suffix != ".pyc"]
        files = {str(name.relative_to(source)): name.read_bytes() for name in names}
    files["instruments.yaml"] = (ROOT / "instruments.yaml").read_bytes()
    info = f"{NAME}-{project['version']}.dist-info"
    files[f"{info}/METADATA"] = _metadata(project)
    files[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: tapehouse\nRoot-Is-Purelib: {str(not compiled).lower()}\n"
        f"Tag: {tag}\n"
    ).encode()
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{NAME}-{project['version']}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), files[name])
    return wheel


def _metadata(project: dict[str, str]) -> bytes:
    needs = [f"Requires-Dist: {name}>={version(name)}" for name in sorted(NEEDS.values())]
    head = [
        "Metadata-Version: 2.3",
        "Name: tapehouse-matcher",
        f"Version: {project['version']}",
        "Summary: The matching engine of Tapehouse: pure, deterministic, replayable",
        f"License-Expression: {project['license']}",
        f"Requires-Python: {project['requires-python']}",
        *needs,
        "Description-Content-Type: text/markdown",
    ]
    text = (ROOT / "docs" / "matching.md").read_text(encoding="utf-8")
    return ("\n".join(head) + "\n\n" + text).encode()


def _record(files: dict[str, bytes], own: str) -> bytes:
    rows = []
    for name, data in sorted(files.items()):
        digest = base64.urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(data)}")
    return "\n".join([*rows, f"{own},,", ""]).encode()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.build_matcher_wheel",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        wheel = build(chosen.folder, chosen.compiled, chosen.quick)
    except CannotBuild as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{wheel}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
