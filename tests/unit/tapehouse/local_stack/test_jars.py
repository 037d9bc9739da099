"""The lock of Kafka's jars, and what an install does with it. The repository is a folder served here."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tapehouse.errors import OperatorError
from tapehouse.local_stack import jars, kafka, ports
from tapehouse.local_stack.jars import Jar

BYTES = b"a jar"
SHA256 = hashlib.sha256(BYTES).hexdigest()
Serve = Callable[[bytes], str]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serve a repository that holds `org.example:lib:1.0` with the bytes given; returns its address."""
    handler = partial(_Quiet, directory=str(tmp_path / "repository"))
    with ThreadingHTTPServer((ports.HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def put(content: bytes) -> str:
            folder = tmp_path / "repository" / "org" / "example" / "lib" / "1.0"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "lib-1.0.jar").write_bytes(content)
            return f"http://{ports.HOST}:{server.server_port}"

        yield put
        server.shutdown()
        thread.join()


def _nowhere() -> str:
    return f"http://{ports.HOST}:{ports.free_ports(1)[0]}"


def test_all_kafka_jars_have_one_version() -> None:
    versions = {jar.version for jar in jars.locked() if jar.group == "org.apache.kafka"}
    assert versions == {kafka.VERSION}


def test_log4j_jars_have_one_version() -> None:
    versions = {jar.version for jar in jars.locked() if jar.group == "org.apache.logging.log4j"}
    assert len(versions) == 1


def test_lock_names_no_artifact_twice_and_no_address() -> None:
    locked = jars.locked()
    assert len({(jar.group, jar.artifact) for jar in locked}) == len(locked)
    assert "://" not in jars.LOCK_FILE.read_text()


@pytest.mark.parametrize("line", ["org:art:1", "org:art abc", f"org:art {SHA256}", "org:art:1 00ff"])
def test_broken_lock_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        jars.read_lock(line)


def test_digest_depends_on_content_not_order() -> None:
    one, two = Jar("org", "a", "1", SHA256), Jar("org", "b", "1", SHA256)
    assert jars.digest([one, two]) == jars.digest([two, one])
    assert jars.digest([one]) != jars.digest([two])


def test_install_fetches_once_and_then_needs_no_network(tmp_path: Path, serve: Serve) -> None:
    repository = serve(BYTES)
    calls: list[tuple[int, int]] = []
    locked = (Jar("org.example", "lib", "1.0", SHA256),)
    lib = jars.install(tmp_path / "cache", locked, lambda *call: calls.append(call), repository)
    assert (lib / "lib-1.0.jar").read_bytes() == BYTES
    assert calls == [(0, 1), (1, 1)]
    again = jars.install(tmp_path / "cache", locked, lambda *call: calls.append(call), _nowhere())
    assert again == lib
    assert len(calls) == 2


def test_install_heals_a_damaged_jar(tmp_path: Path, serve: Serve) -> None:
    repository = serve(BYTES)
    locked = (Jar("org.example", "lib", "1.0", SHA256),)
    lib = jars.install(tmp_path / "cache", locked, _silent, repository)
    (lib / "lib-1.0.jar").write_bytes(b"half a j")
    jars.install(tmp_path / "cache", locked, _silent, repository)
    assert (lib / "lib-1.0.jar").read_bytes() == BYTES


def test_jar_with_another_hash_is_refused_and_not_kept(tmp_path: Path, serve: Serve) -> None:
    repository = serve(b"another jar")
    with pytest.raises(OperatorError, match="is not the jar that"):
        jars.install(tmp_path / "cache", (Jar("org.example", "lib", "1.0", SHA256),), _silent, repository)
    assert not list(tmp_path.glob("cache/**/*.jar"))


def test_no_network_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(
        OperatorError, match=r"(?s)cannot download Apache Kafka .*after that no network is needed"
    ):
        jars.install(tmp_path, (Jar("org.example", "lib", "1.0", SHA256),), _silent, _nowhere())


def _silent(present: int, total: int) -> None:
    pass
