"""The broker's configuration and start, with Kafka's own tools."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tapehouse.errors import OperatorError
from tapehouse.local_stack import jars, ports
from tapehouse.local_stack.kafka import KafkaServer
from tests.services import CACHE, running

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).resolve().parents[3]


def server(folder: Path, cache: Path = CACHE) -> KafkaServer:
    port, controller_port = ports.free_ports(2)
    (folder / "kafka").mkdir(exist_ok=True)
    return KafkaServer(
        folder=folder / "kafka",
        log_file=folder / "kafka.log",
        cache=cache,
        port=port,
        controller_port=controller_port,
    )


def silent(present: int, total: int) -> None:
    pass


def test_broker_starts_without_the_aot_cache_that_does_not_fit(tmp_path: Path) -> None:
    jars.install(CACHE, jars.locked(), silent)
    cache = tmp_path / "cache"
    shutil.copytree(jars.folder(CACHE, jars.locked()), jars.folder(cache, jars.locked()))
    kafka = server(tmp_path, cache)
    kafka.aot_cache().write_bytes(b"no cache at all")
    program = kafka.prepare(silent)
    assert f"-XX:AOTCache={kafka.aot_cache()}" in program.argv
    with running(program):
        assert ports.accepts(kafka.port)
    assert "aot" not in (tmp_path / "kafka.log").read_text().lower()


def test_storage_that_cannot_be_formatted_is_told_in_kafkas_words(tmp_path: Path) -> None:
    kafka = server(tmp_path)
    (tmp_path / "kafka" / "log").write_text("a file where a folder should be")
    with pytest.raises(OperatorError, match=r"(?s)could not format its storage.*[Ll]og"):
        kafka.prepare(silent)


def test_kafka_accepts_what_the_compose_file_says(tmp_path: Path) -> None:
    """As the official image does it: variables become properties, CLUSTER_ID formats the storage."""
    compose = yaml.safe_load((REPOSITORY / "deploy" / "compose.yaml").read_text())
    given = dict(compose["services"]["kafka"]["environment"])
    cluster_id, _ = given.pop("CLUSTER_ID"), given.pop("KAFKA_HEAP_OPTS")
    given["KAFKA_LOG_DIRS"] = str(tmp_path / "log")
    properties = tmp_path / "server.properties"
    properties.write_text(
        "".join(
            f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={value}\n"
            for name, value in given.items()
        )
    )
    tool = server(tmp_path).tool("kafka.tools.StorageTool")
    done = subprocess.run(
        [*tool, "format", "-t", cluster_id, "-c", str(properties)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "log" / "meta.properties").exists()
