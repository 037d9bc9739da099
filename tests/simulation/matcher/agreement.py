"""Engine and slow model side by side: each command to both, everything they say compared."""

from __future__ import annotations

from matcher import Input, Matched, SymbolEngine
from matcher.engine_state import restore, snapshot
from schemas import commands as c
from schemas.codec import encode, record_hash
from schemas.events import CommandMatched, OrdersTraded, TradeExecuted
from schemas.instruments import Instrument
from schemas.orders import MarketState, Side
from tests.simulation.matcher.depth import Depth
from tests.simulation.matcher.envelope import Command, envelope
from tests.simulation.matcher.naive.matcher import NaiveMatcher
from tests.simulation.matcher.notation_events import line
from tests.simulation.matcher.settlement import Settlement


class Pair:
    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.engine = SymbolEngine(instrument)
        self.model = NaiveMatcher(instrument)
        self.settlement = Settlement()
        self.depth = Depth()
        self.inputs: list[Input] = []
        self.outputs: list[bytes] = []

    def send(self, command: Command) -> None:
        """Raises AssertionError, with both views, where they differ."""
        given = Input(0, len(self.inputs), command)
        self.inputs.append(given)
        expected = self.model.apply(command, 0, given.offset)
        matched = self.engine.apply([given])
        assert len(matched) == (expected is not None), f"{len(matched)} records for {command}"
        if expected is not None:
            self.compare(command, expected, matched[0])
            self.outputs.append(matched[0].data)
            self.settlement.settle(command, expected)
            self.depth.follow(expected)
        assert self.engine.book_hash() == record_hash(rows(self.model)), self.say("the books differ", command)

    def compare(self, command: Command, expected: CommandMatched, matched: Matched) -> None:
        if matched.data != encode(expected):
            raise AssertionError(self.say(differences(expected, matched.record), command))
        assert matched.record == expected
        assert list(matched.trades) == trades(expected)

    def say(self, what: str, command: Command) -> str:
        return f"{what}\nafter command {len(self.inputs)}: {encode(command).decode()}"

    def finish(self) -> None:
        """Open the market and cancel everything, which shows what is locked, waits and was executed."""
        number = max((given.command.source_offset for given in self.inputs), default=0)
        late = max((given.command.occurred_at_ns for given in self.inputs), default=0)
        accounts = sorted({o.account_id for o in self.model.book.orders})
        outer = {"occurred_at_ns": late, "source_partition": 9}
        self.send(c.SetMarketState(**{**envelope(number + 1, 0), **outer}, state=MarketState.TRADING))
        for place, account_id in enumerate(accounts, number + 2):
            self.send(c.CancelRestingOrders(**{**envelope(place, account_id), **outer}, client_order_id="x"))
        assert not self.model.book.orders
        assert not self.settlement.locked

    def restore(self) -> None:
        """Go on with an engine that knows only the snapshot."""
        fresh = SymbolEngine(self.instrument)
        restore(fresh, snapshot(self.engine, 0))
        assert fresh.state() == self.engine.state()
        assert fresh.book_hash() == self.engine.book_hash()
        self.engine = fresh

    def deliver_again(self, place: int) -> None:
        """A command that was handled leaves no trace the second time."""
        before = self.engine.book_hash()
        assert self.engine.apply([self.inputs[place]._replace(offset=len(self.inputs) - 1)]) == []
        assert self.engine.book_hash() == before


def rows(model: NaiveMatcher) -> bytes:
    """Return what `book_hash` hashes."""
    return str(model.book_rows()).replace(" ", "").encode()


def differences(expected: CommandMatched, found: CommandMatched) -> str:
    said = []
    for name in expected.__struct_fields__:
        wanted, got = getattr(expected, name), getattr(found, name)
        if wanted == got:
            continue
        if name == "events":
            said += ["events, by the model:", *(f"    {line(x)}" for x in wanted)]
            said += ["events, by the engine:", *(f"    {line(x)}" for x in got)]
            said += [
                f"first difference:\n    model  {w}\n    engine {g}"
                for w, g in zip([*wanted, None], [*got, None], strict=False)
                if w != g
            ][:1]
        else:
            said.append(f"{name}: model {wanted}, engine {got}")
    return "\n".join(said or ["the bytes differ"])


def trades(record: CommandMatched) -> list[TradeExecuted]:
    """Return what settlement is told of a record's trades."""
    return [settled(record, x) for x in record.events if isinstance(x, OrdersTraded)]


def settled(record: CommandMatched, x: OrdersTraded) -> TradeExecuted:
    taker = (x.taker_order_id, x.taker_account_id, x.taker_fee_minor)
    maker = (x.maker_order_id, x.maker_account_id, x.maker_fee_minor)
    buyer, seller = (taker, maker) if x.taker_side is Side.BUY else (maker, taker)
    return TradeExecuted(
        event_id=f"{record.symbol}-trade-{x.trade_id}",
        correlation_id=record.correlation_id,
        causation_id=record.event_id,
        occurred_at_ns=record.occurred_at_ns,
        symbol=record.symbol,
        sequence=record.sequence,
        trade_id=x.trade_id,
        price_ticks=x.price_ticks,
        quantity_lots=x.quantity_lots,
        base_minor=x.base_minor,
        quote_minor=x.quote_minor,
        taker_side=x.taker_side,
        buyer_order_id=buyer[0],
        buyer_account_id=buyer[1],
        buyer_fee_minor=buyer[2],
        buyer_lock_minor=x.buyer_lock_minor,
        seller_order_id=seller[0],
        seller_account_id=seller[1],
        seller_fee_minor=seller[2],
        buyer_receipt_locked=x.buyer_receipt_locked,
    )
