"""Resolve Apache Kafka's jars anew and write `tapehouse/local_stack/kafka_jars.lock` (`make lock-kafka`).

Two resolutions on purpose: asked for in one, `log4j-slf4j-impl` drags an older `kafka-clients` in.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from tapehouse.local_stack import jars
from tapehouse.local_stack.kafka import VERSION

KAFKA = f"org.apache.kafka:kafka_2.13:{VERSION}"
BINDING = "org.apache.logging.log4j:log4j-slf4j-impl"
HEADER = f"# {KAFKA} and its log4j binding: group:artifact:version sha256. Written by `make lock-kafka`.\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        kafka = _resolve(Path(cache), KAFKA)
        log4j = next(version for (_, artifact), (version, _) in kafka.items() if artifact == "log4j-core")
        binding = {
            key: jar for key, jar in _resolve(Path(cache), f"{BINDING}:{log4j}").items() if "log4j" in key[0]
        }
        lines = [
            f"{group}:{artifact}:{version} {_sha256(path)}\n"
            for (group, artifact), (version, path) in sorted((binding | kafka).items())
        ]
    jars.LOCK_FILE.write_text(HEADER + "".join(lines))
    print(f"{jars.LOCK_FILE}: {len(lines)} jars")


def _resolve(cache: Path, coordinate: str) -> dict[tuple[str, str], tuple[str, Path]]:
    context = jars.maven(cache)
    inputs, transitive = context.resolver.resolve([context.create_dependency(coordinate)])
    return {
        (found.groupId, found.artifactId): (found.version, found.artifact.resolve())
        for found in [*inputs, *transitive]
        if found.scope in (None, "compile", "runtime")
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
