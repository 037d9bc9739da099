"""The jars of Apache Kafka: exactly those of `kafka_jars.lock`, fetched once, checked at every start.

The lock holds `group:artifact:version sha256` and no address: jgo knows where Maven's repository is.
`make lock-kafka` writes it anew. Kafka's broker needs `kafka_2.13` alone; `kafka-tools` would bring
Connect, Jetty and Jersey, as many jars again, and is left out.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tapehouse.errors import OperatorError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

LOCK_FILE = Path(__file__).with_name("kafka_jars.lock")
Progress = Callable[[int, int], None]
"""Called with (jars present, jars in all)."""

_THREADS = 8
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, order=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"


def read_lock(text: str) -> tuple[Jar, ...]:
    """Raises ValueError for a line that is not `group:artifact:version sha256`."""
    return tuple(_parse(line) for line in text.splitlines() if line and not line.startswith("#"))


def _parse(line: str) -> Jar:
    coordinate, sha256 = line.split()
    group, artifact, version = coordinate.split(":")
    if len(bytes.fromhex(sha256)) != 32:
        raise ValueError(f"not a sha256: {line}")
    return Jar(group, artifact, version, sha256)


def locked() -> tuple[Jar, ...]:
    return read_lock(LOCK_FILE.read_text())


def digest(jars: Iterable[Jar]) -> str:
    """Short name of a set of jars: another set gets another folder and another AOT cache."""
    text = "\n".join(f"{jar.coordinate} {jar.sha256}" for jar in sorted(jars))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def folder(cache: Path, jars: Iterable[Jar]) -> Path:
    return cache / "kafka" / digest(jars)


def install(cache: Path, jars: tuple[Jar, ...], progress: Progress, repository: str | None = None) -> Path:
    """Return the folder that holds exactly these jars, each with its locked hash.

    What is there and right is kept, so a broken download goes on where it stopped. Two installs at once
    are harmless: a jar appears by rename, after its check.
    Raises OperatorError: no network, or a jar that is not what the lock says.
    """
    lib = folder(cache, jars)
    lib.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_THREADS) as pool:
        present = list(pool.map(lambda jar: _sha256(lib / jar.file_name) == jar.sha256, jars))
    missing = [jar for jar, there in zip(jars, present, strict=True) if not there]
    kept = len(jars) - len(missing)
    if missing:
        progress(kept, len(jars))
        _download(lib, missing, lambda count: progress(kept + count, len(jars)), repository)
    return lib


def _download(lib: Path, missing: list[Jar], progress: Callable[[int], None], repository: str | None) -> None:
    with tempfile.TemporaryDirectory(prefix=".download-", dir=lib.parent) as staging:
        context = maven(Path(staging), repository)
        with ThreadPoolExecutor(_THREADS) as pool:
            jobs = [pool.submit(_fetch, context, jar, lib) for jar in missing]
            try:
                for count, job in enumerate(as_completed(jobs), start=1):
                    job.result()
                    progress(count)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def maven(repo_cache: Path, repository: str | None = None) -> MavenContext:
    from jgo.maven import MavenContext

    return MavenContext(
        repo_cache=repo_cache, timeout=60, remote_repos=None if repository is None else {"given": repository}
    )


def _fetch(context: MavenContext, jar: Jar, lib: Path) -> None:
    """jgo writes in place and refuses a file that exists, so it works in a staging folder of its own."""
    for attempt in range(1, _ATTEMPTS + 1):
        artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
        try:
            path = artifact.resolve()
        except (OSError, RuntimeError) as error:  # requests' exceptions are OSErrors
            if artifact.cached_path is not None:
                artifact.cached_path.unlink(missing_ok=True)
            if attempt == _ATTEMPTS:
                raise OperatorError(_no_network(jar, error)) from error
            continue
        found = _sha256(path)
        if found != jar.sha256:
            raise OperatorError(
                f"{jar.coordinate} is not the jar that kafka_jars.lock names: expected sha256 {jar.sha256}, "
                f"got {found}. Nothing was installed from it."
            )
        os.replace(path, lib / jar.file_name)
        return


def _no_network(jar: Jar, error: Exception) -> str:
    return (
        f"cannot download Apache Kafka ({jar.coordinate}): {type(error).__name__}: {error}\n"
        "Its jars are fetched once, when Tapehouse first starts; after that no network is needed. "
        "With a mirror of Maven's repository, set TAPEHOUSE_MAVEN_REPOSITORY; with a Kafka of your own, "
        "set TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS."
    )


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def class_path(lib: Path, jars: Iterable[Jar]) -> str:
    """In a fixed order, by name: an AOT cache is valid for one class path only."""
    return os.pathsep.join(str(lib / jar.file_name) for jar in jars)
