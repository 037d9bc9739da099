"""A log in memory whose writer keeps records to itself until they are flushed, as a real one may."""

from __future__ import annotations

from collections.abc import Sequence

from service_runtime.memory_log import MemoryBroker, MemoryEventLog


class LossyLog(MemoryEventLog):
    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self._unsent: list[tuple[str, int, bytes, bytes | None]] = []

    def append(
        self,
        topic: str,
        partition: int,
        value: bytes,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        self._unsent.append((topic, partition, value, key))

    def flush(self) -> None:
        self.lose(keep=len(self._unsent))

    def lose(self, keep: int) -> None:
        """The process is gone: only the first `keep` of its records had got out."""
        for record in self._unsent[:keep]:
            self.broker.write(*record)
        self._unsent = []

    @property
    def unsent(self) -> int:
        return len(self._unsent)
