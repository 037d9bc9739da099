"""Scenarios: text files of commands, what each brings, and the book in the end.

    python -m tests.simulation.matcher.scenario FILE ...    writes them anew as the slow model plays them

A file is named after its subject. `== name` starts a scenario; a line at the margin is a command (see
notation_commands.py), the indented lines after it are its events (notation_events.py). `+ command` only sets
the scene: the order enters and rests, or is held, and `last 100` makes a trade. After `--` comes the
book, `#1:5` in the queue of its price, `#2:3/8` where 3 of 8 are shown, then what waits outside of it. A line
`market: ...` sets the instrument of the scenarios that follow: lot, unit, fees, volatility, stp, band.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from schemas.events import BookEvent
from schemas.instruments import Instrument
from schemas.orders import SelfTradePrevention, Side
from tests.simulation.matcher.market import instrument
from tests.simulation.matcher.naive.book import NaiveBook
from tests.simulation.matcher.naive.matcher import NaiveMatcher
from tests.simulation.matcher.naive.open_order import OpenOrder, Where
from tests.simulation.matcher.notation_commands import Script
from tests.simulation.matcher.notation_events import line

FOLDER = Path(__file__).parent / "scenarios"


@dataclass
class Step:
    command: str
    events: list[str]

    def told(self, events: Iterable[BookEvent]) -> list[str]:
        """Return the events as the file shows them: of `+` and `last` only what is not expected anyway."""
        told = [line(event) for event in events]
        if " last " in f" {self.command}":
            return told[told.index(f"filled #{_taker(told)}") + 1 :]
        if self.command.startswith("+ "):
            return [text for text in told if not text.startswith(("entered", "rested", "held", "list L"))]
        return told


def _taker(told: list[str]) -> str:
    """Return the id of the second order of `last`."""
    return [text.removeprefix("entered #") for text in told if text.startswith("entered #")][1]


@dataclass
class Scenario:
    name: str
    instrument: Instrument
    fees: tuple[int, int]
    head: list[str] = field(default_factory=list)
    """Lines that stand before it: of the market, and remarks, which begin with `//`."""
    steps: list[Step] = field(default_factory=list)
    book: list[str] = field(default_factory=list)

    def script(self) -> Script:
        return Script(self.instrument, self.fees)


def read_market(text: str) -> dict[str, Any]:
    """Read `lot 10, unit 7, fees 1000 2000, volatility 0.1 60 30 20, stp DECREMENT, band 2 0.5 2 0.5`."""
    settings = {key: values for key, *values in (part.split() for part in text.split(","))}
    halts = settings.get("volatility")
    keys = ("band", "window_s", "halt_s", "auction_s")
    return {
        "fees": tuple(int(v) for v in settings.get("fees", ["0", "0"])),
        "instrument": instrument(
            int(settings.get("lot", ["1"])[0]),
            int(settings.get("unit", ["1"])[0]),
            volatility=None if halts is None else dict(zip(keys, halts, strict=True)),
            self_trade_prevention=SelfTradePrevention(settings.get("stp", ["NONE"])[0]),
            band=tuple(settings.get("band", ["5", "0.2", "5", "0.2"])),  # type: ignore[arg-type]
        ),
    }


def read(text: str) -> Iterator[Scenario]:
    market, head, in_book = read_market("lot 1"), list[str](), False
    scenario: Scenario | None = None
    for row in text.splitlines():
        bare = row.strip()
        if bare.startswith(("market:", "//")):
            head.append(bare)
            if bare.startswith("market:"):
                market = read_market(bare.removeprefix("market:"))
        elif bare.startswith("== "):
            if scenario is not None:
                yield scenario
            scenario, in_book = Scenario(bare.removeprefix("== "), **market, head=head), False
            head = []
        elif bare == "--":
            in_book = True
        elif bare:
            assert scenario is not None, f"{row!r} belongs to no scenario"
            _add(scenario, row.rstrip(), in_book)
    if scenario is not None:
        yield scenario


def _add(scenario: Scenario, row: str, in_book: bool) -> None:
    if in_book:
        scenario.book.append(row)
    elif row[0].isspace():
        scenario.steps[-1].events.append(row.strip())
    else:
        scenario.steps.append(Step(row, []))


def draw(book: NaiveBook) -> list[str]:
    """Return the book as a table, the highest price first, then the orders that wait."""
    bids, asks = book.in_priority(Side.BUY), book.in_priority(Side.SELL)
    rows = []
    for price in sorted({o.price_ticks for o in bids + asks}, reverse=True):
        left, right = (" ".join(_queued(o) for o in side if o.price_ticks == price) for side in (bids, asks))
        rows.append(f"  {left:>16} | {price:>4} | {right}".rstrip())
    waiting = [f"#{o.order_id}" for o in book.orders if o.where is not Where.RESTING]
    rows += [f"  waiting: {' '.join(waiting)}"] if waiting else []
    return rows or ["  (empty)"]


def _queued(order: OpenOrder) -> str:
    shown = "" if order.shown_lots == order.leaves_lots else f"{order.shown_lots}/"
    return f"#{order.order_id}:{shown}{order.leaves_lots}"


def play(scenario: Scenario) -> tuple[Scenario, NaiveMatcher]:
    """Return the scenario as the slow model plays it, and the model after it."""
    model, script = NaiveMatcher(scenario.instrument), scenario.script()
    steps = []
    for step in scenario.steps:
        events: list[BookEvent] = []
        for command in script.read(step.command):
            record = model.apply(command, 0, command.source_offset)
            assert record is not None
            events += record.events
        steps.append(Step(step.command, step.told(events)))
    return replace(scenario, steps=steps, book=draw(model.book)), model


def write(scenario: Scenario) -> str:
    rows = [*scenario.head, f"== {scenario.name}"]
    for step in scenario.steps:
        rows += [step.command, *(f"    {event}" for event in step.events)]
    return "\n".join([*rows, "--", *scenario.book]) + "\n"


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        played = [write(play(found)[0]) for found in read(path.read_text(encoding="utf-8"))]
        path.write_text("\n".join(played), encoding="utf-8")
