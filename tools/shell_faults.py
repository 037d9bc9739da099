"""Faults for tools/mutate_shells.py: small changes of the services' shells that the simulation must find."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tools.matcher_faults import PatchDoesNotFit

_STORES = "tests/simulation/exchange/stores.py"
"""Stands for the SQL, which the simulation does not run."""


class Patch(NamedTuple):
    file: str
    old: str
    new: str


class ShellFault(NamedTuple):
    name: str
    patches: tuple[Patch, ...]

    def plant(self, root: Path) -> None:
        """Change the tree under `root`. Raises PatchDoesNotFit, then write the patch anew."""
        for file, old, new in self.patches:
            path = root / file
            text = path.read_text(encoding="utf-8")
            if text.count(old) != 1:
                raise PatchDoesNotFit(f"{self.name}: {file} has the text {text.count(old)} times")
            path.write_text(text.replace(old, new), encoding="utf-8")


def _fault(name: str, file: str, old: str, new: str) -> ShellFault:
    return ShellFault(name, (Patch(file, old, new),))


FAULTS = (
    _fault(
        "a repeated trade is settled twice",
        "service_runtime/sequence.py",
        "        if trade.trade_id <= last:\n            return False\n",
        "        if trade.trade_id <= last:\n            return trade.trade_id == last\n",
    ),
    _fault(
        "< for <= in the sequence check",
        "service_runtime/sequence.py",
        "        if event.sequence <= position.sequence:",
        "        if event.sequence < position.sequence:",
    ),
    _fault(
        "settled is read before positions",
        "recorder/handlers.py",
        "        positions = self._store.positions(partitions)\n"
        "        matched, trades = self._store.settled(self._topics.symbols)\n",
        "        matched, trades = self._store.settled(self._topics.symbols)\n"
        "        positions = self._store.positions(partitions)\n",
    ),
    _fault(
        "a batch is emitted in the order of hashes",
        "processor/handlers.py",
        "        for one in batch:\n            append(one",
        "        for one in set(batch):\n            append(one",
    ),
    _fault(
        "the next batch commits before the last one is delivered",
        "processor/handlers.py",
        "        self._flush()\n        accepted = accepted_orders",
        "        accepted = accepted_orders",
    ),
    _fault(
        "emission is not repeated after a crash",
        "processor/handlers.py",
        "            self._emit(unpack(position.last_batch))\n",
        "            unpack(position.last_batch)\n",
    ),
    _fault(
        "emission is repeated in another order",
        "processor/handlers.py",
        "            self._emit(unpack(position.last_batch))\n",
        "            self._emit(unpack(position.last_batch)[::-1])\n",
    ),
    _fault(
        "a batch is emitted before its commit",
        "processor/handlers.py",
        "        self._store.write(decisions.outcomes,",
        "        for source_partition in out:\n"
        "            self._emit(out[source_partition])\n"
        "        self._store.write(decisions.outcomes,",
    ),
    _fault(
        "the processor does not compare its position",
        "processor/store.py",
        "            if found.get(partition) != offset:\n",
        "            if found.get(partition) is None:\n",
    ),
    _fault(
        "the recorder does not compare its position",
        _STORES,
        "        if any(found[source] != move.expected for source, move in moved.items()):\n",
        "        if any(found[source] is None for source in moved):\n",
    ),
    _fault(
        "the position moves outside the transaction",
        "recorder/handlers.py",
        "        self._store.write(settlement, moving, moved)\n",
        "        self._store.write(Settlement(self._instruments), [], moved)\n"
        "        self._store.write(settlement, moving, {})\n",
    ),
    _fault(
        "the group's offset is trusted",
        "recorder/handlers.py",
        "        return dict(self._positions)\n",
        "        group = self._event_log.committed\n"
        "        return {s: o if group(s) is None else group(s) for s, o in self._positions.items()}\n",
    ),
    ShellFault(
        "a snapshot is trusted over the log",
        (
            Patch(
                "matcher/snapshots.py",
                "    if record_hash(head.state.encode()) != head.checksum:\n",
                "    if not head.state:\n",
            ),
            Patch(
                "matcher/engine_state.py",
                "    if record_hash(taken.state.encode()) != taken.checksum:\n",
                "    if not taken.state:\n",
            ),
            Patch(
                "matcher/recovery.py",
                "        if taken.book_hash is not None and engine.book_hash() != taken.book_hash:\n",
                "        if taken.book_hash == '':\n",
            ),
            Patch(
                "matcher/recovery.py",
                "        if expected is not None and expected != found:\n",
                "        if expected == '':\n",
            ),
        ),
    ),
    _fault(
        "poison is dropped without a word",
        "processor/handlers.py",
        "                self._dead_letters.send(record, request.reason, request.detail)\n",
        "",
    ),
    _fault(
        "a dead letter is not stored before the position passes",
        "recorder/handlers.py",
        "        if self._buried:  #",
        "        if False:  #",
    ),
    _fault(
        "a new owner forgets trades that did not get out",
        "matcher/handlers.py",
        "        self._append_trades(partition, recovered.trades)\n",
        "",
    ),
    _fault(
        "recovery forgets records of the slower symbol",
        "matcher/recovery.py",
        "            self._result.records += compared.not_found()\n",
        "",
    ),
    _fault(
        "a standby takes over without what is missing",
        "matcher/handlers.py",
        "        reach(Failpoint.MATCHER_BEFORE_TAKE_OVER)\n"
        "        self._append_missing(partition, missing)\n",
        "        reach(Failpoint.MATCHER_BEFORE_TAKE_OVER)\n",
    ),
    _fault(
        "releases do not wait for what they rest on",
        "recorder/handlers.py",
        "                    self._await_receipts(event, settlement)\n",
        "",
    ),
)
