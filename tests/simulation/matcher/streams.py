"""Random streams of commands: play one by its seed, shrink one that fails, keep it as a case."""

from __future__ import annotations

import random
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.codec import decoder_for_union, encode
from schemas.commands import VALIDATED_ORDERS, CancelRestingOrder, CancelRestingOrders
from schemas.orders import Side, TimeInForce
from tests.builders import enter_order
from tests.simulation.matcher.agreement import Pair
from tests.simulation.matcher.envelope import Command, envelope
from tests.simulation.matcher.trader import MARKETPLACES, Trader

CORPUS = Path(__file__).parent / "corpus"
decode = decoder_for_union(VALIDATED_ORDERS)


class StreamFailed(AssertionError):
    """Model and engine differ; says how to see it again."""

    def __init__(self, place: str, seed: int, steps: int, commands: list[Command]) -> None:
        super().__init__(
            f"see it again: python -m tools.fuzz_matcher --place {place} --seed {seed} --steps {steps}"
        )
        self.commands = commands


def play(place: str, seed: int, steps: int) -> Pair:
    """Send `steps` random commands to engine and model; restore the engine at random moments."""
    dice = random.Random(f"{place}-{seed}")
    pair = Pair(MARKETPLACES[place])
    trader = Trader(pair.model, dice)
    try:
        for _ in range(steps):
            pair.send(trader.next())
            if dice.random() < 0.03:
                pair.restore()
            if dice.random() < 0.03:
                pair.deliver_again(dice.randrange(len(pair.inputs)))
        pair.finish()
    except Exception as error:
        commands = [given.command for given in pair.inputs]
        raise StreamFailed(place, seed, steps, commands) from error
    return pair


def replay(place: str, commands: Sequence[Command]) -> Pair:
    pair = Pair(MARKETPLACES[place])
    for command in commands:
        pair.send(command)
        pair.restore()
    pair.finish()
    return pair


def failure(place: str, commands: Sequence[Command]) -> str | None:
    """Return what is wrong when these commands are played, None if nothing is."""
    try:
        replay(place, commands)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}\n{error}"
    return None


def shrink(place: str, commands: Sequence[Command]) -> list[Command]:
    """Leave out commands, many at a time, then one by one, while it still fails."""
    left, size = list(commands), len(commands) // 2
    while size:
        start = 0
        while start < len(left):
            fewer = left[:start] + left[start + size :]
            if failure(place, fewer) is None:
                start += size
            else:
                left = fewer
        size //= 2
    return left


def save(place: str, name: str, commands: Sequence[Command]) -> Path:
    """Keep a case: its name is `place-what`."""
    path = CORPUS / f"{place}-{name}.jsonl"
    path.write_bytes(b"".join(encode(command) + b"\n" for command in commands))
    return path


def load(path: Path) -> tuple[str, list[Command]]:
    return path.stem.split("-")[0], [decode(row) for row in path.read_bytes().splitlines()]


def crowd(seed: int, steps: int) -> Pair:
    """Many orders at few prices that come and go, which tidies queues, ladders and the lists of accounts."""
    dice = random.Random(seed)
    pair = Pair(MARKETPLACES["plain"])
    for number in range(1, steps + 1):
        outer = envelope(number, dice.randint(1, 3))
        opened = pair.model.book.orders
        what, enters = dice.random(), 0.62 if number < steps // 2 else 0.38
        if what < enters or not opened:
            pair.send(_one_of_a_crowd(dice, number, outer))
        elif what < enters + 0.002:
            pair.send(CancelRestingOrders(**outer, client_order_id="x"))
        else:
            order = opened[-1] if dice.random() < 0.4 else dice.choice(opened)
            named = {**outer, "account_id": order.account_id, "order_id": order.order_id}
            pair.send(CancelRestingOrder(**named, client_order_id="x"))
    pair.finish()
    return pair


def _one_of_a_crowd(dice: random.Random, number: int, outer: dict[str, Any]) -> Command:
    """Return an order that mostly rests; some are icebergs, some take a few lots."""
    side, takes = dice.choice(list(Side)), dice.random() < 0.06
    away = -dice.randint(1, 3) if takes else dice.randint(1, 90 if dice.random() < 0.3 else 2)
    price = 100 - away if side is Side.BUY else 100 + away
    lots = dice.randint(1, 3)
    reserved = lots * price if side is Side.BUY else lots
    terms = {"side": side, "price_ticks": price, "quantity_lots": lots, "reserved_minor": reserved}
    shown = dice.choice([None, None, None, 1]) if not takes else None
    how = TimeInForce.IOC if takes else TimeInForce.GTC
    return enter_order(**outer, order_id=number, time_in_force=how, display_lots=shown, **terms)
