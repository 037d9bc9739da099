"""The state of a symbol's engine as canonical JSON text, and its way into and out of a BookSnapshot."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from matcher.auction import Uncrossing
from matcher.market import Market
from matcher.order import Order, age
from matcher.order_book import OrderBook
from matcher.order_lists import OrderList
from schemas.codec import record_hash
from schemas.events import BookSnapshot
from schemas.orders import MarketState, OrderListKind, OrderType, Side, TimeInForce

if TYPE_CHECKING:
    from matcher.symbol_engine import SymbolEngine

ENGINE_VERSION = "3"
"""Changes whenever the same input would give other bytes, or the state another shape."""


class UnusableState(Exception):
    """A state or snapshot that is not of this symbol, version or shape, or is damaged."""


class _Leg(msgspec.Struct, frozen=True, array_like=True):
    """A leg of a list: its id, or the rest of what the list must know of one that ended."""

    order_id: int
    ended: bool


class _List(msgspec.Struct, frozen=True, array_like=True):
    list_id: int
    account_id: int
    kind: OrderListKind
    client_order_id: str
    legs: list[_Leg]
    shared_minor: int
    received_minor: int
    due: bool


class _State(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    symbol: str
    lot_minor: int
    tick_lot_minor: int
    sequence: int
    last_hash: str
    update_id: int
    trade_id: int
    prevented_match_id: int
    last_price_ticks: int
    occurred_at_ns: int
    input_partition: int
    input_offset: int
    passed: list[tuple[int, int]]
    market_state: MarketState
    until_ns: int | None
    indicated: tuple[int | None, int, int]
    reference: tuple[int | None, int] | None
    """Of the volatility band: price and time. None: the symbol has no band."""
    lists: list[_List]
    waiting: list[Order]
    """Held stops and pending legs, by age."""
    bids: list[Order]
    asks: list[Order]


def _row(order: Any) -> object:
    """Stand in for an order that is no struct, as in the compiled library."""
    return order.row()


@cache
def _struct_of(kind: Any) -> type[msgspec.Struct]:
    """Return a struct of the same fields; msgspec looks at a struct's types once, at others' each time."""
    fields = [(f"field_{number}", type_) for number, type_ in enumerate(kind.field_types)]
    return msgspec.defstruct(kind.__name__, fields, array_like=True, gc=False)


def _of_row(kind: Any, row: object) -> object:
    return kind(*msgspec.structs.astuple(msgspec.convert(row, _struct_of(kind), dec_hook=_of_row)))


_decode = msgspec.json.Decoder(_State, dec_hook=_of_row).decode
_encode = msgspec.json.Encoder(enc_hook=_row).encode
_OF_ENGINE = ("sequence", "last_hash", "update_id", "occurred_at_ns", "input_partition", "input_offset")
_OF_MARKET = ("trade_id", "prevented_match_id", "last_price_ticks", "until_ns")


def dump(engine: SymbolEngine) -> str:
    market = engine.market
    book, guard = market.book, market.book.guard
    special = [order for order in book.orders.values() if order.conditions is not None]
    state = _State(
        version=ENGINE_VERSION,
        symbol=engine.symbol,
        lot_minor=engine.instrument.lot_minor,
        tick_lot_minor=engine.instrument.tick_lot_minor,
        passed=sorted(engine.passed.items()),
        market_state=market.state,
        indicated=(*market.indicated,),
        reference=None if guard is None else (guard.reference_ticks, guard.reference_ns),
        lists=[_list_row(market.lists[list_id]) for list_id in sorted(market.lists)],
        waiting=sorted((order for order in special if order.place), key=age),
        bids=book.bids.in_order(),
        asks=book.asks.in_order(),
        **{name: getattr(engine, name) for name in _OF_ENGINE},
        **{name: getattr(market, name) for name in _OF_MARKET},
    )
    return _encode(state).decode()


def load(engine: SymbolEngine, text: str) -> None:
    try:
        state = _decode(text)
    except msgspec.DecodeError as error:
        raise UnusableState(str(error)) from error
    instrument = engine.instrument
    found = (state.version, state.symbol, state.lot_minor, state.tick_lot_minor)
    expected = (ENGINE_VERSION, engine.symbol, instrument.lot_minor, instrument.tick_lot_minor)
    if found != expected:
        raise UnusableState(f"expected version, symbol, lot, tick x lot {expected}, found {found}")
    market = Market(instrument)
    _fill(market, state)
    for name in _OF_MARKET:
        setattr(market, name, getattr(state, name))
    engine.market = market
    engine.passed = dict(state.passed)
    for name in _OF_ENGINE:
        setattr(engine, name, getattr(state, name))


def _fill(market: Market, state: _State) -> None:
    market.state, market.indicated = state.market_state, Uncrossing(*state.indicated)
    book = market.book
    if (book.guard is None) != (state.reference is None):
        raise UnusableState("the symbol's volatility band came or went")
    if book.guard is not None and state.reference is not None and state.reference[0] is not None:
        book.guard.now = state.reference[1]
        book.guard.refer(state.reference[0])
    for order in state.bids:
        book.put(order)
    for order in state.asks:
        book.put(order)
    for order in state.waiting:
        book.put(order)
        if order.held:
            market.stops.add(order)
    for kept in state.lists:
        made = OrderList(kept.list_id, kept.account_id, kept.kind, kept.client_order_id, [])
        made.legs = [_leg(book, leg) for leg in kept.legs]
        made.shared_minor, made.received_minor, made.due = kept.shared_minor, kept.received_minor, kept.due
        market.lists[made.list_id] = made


def _list_row(made: OrderList) -> _List:
    return _List(
        made.list_id,
        made.account_id,
        made.kind,
        made.client_order_id,
        [_Leg(leg.order_id, leg.ended) for leg in made.legs],
        made.shared_minor,
        made.received_minor,
        made.due,
    )


def _leg(book: OrderBook, leg: _Leg) -> Order:
    if not leg.ended:
        found = book.orders.get(leg.order_id)
        if found is None:
            raise UnusableState(f"leg {leg.order_id} is not open")
        return found
    gone = Order(leg.order_id, 0, "", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 0, 0, 0)
    gone.ended = True
    return gone


def book_hash(book: OrderBook) -> str:
    """Hash [[order id, account, price, leaves], ...] of the bids and of the asks, best and oldest first."""
    rows = [
        [(o.order_id, o.account_id, o.price_ticks, o.leaves_lots) for o in ladder.in_order()]
        for ladder in (book.bids, book.asks)
    ]
    return record_hash(_encode(rows))


def snapshot(engine: SymbolEngine, output_offset: int) -> BookSnapshot:
    """Return the engine's state as a record. `output_offset`: see BookSnapshot."""
    state = engine.state()
    event_id = f"{engine.symbol}-snapshot-{engine.input_offset}"
    return BookSnapshot(
        event_id=event_id,
        correlation_id=event_id,
        causation_id=f"{engine.symbol}-{engine.sequence}",
        occurred_at_ns=engine.occurred_at_ns,
        symbol=engine.symbol,
        engine_version=ENGINE_VERSION,
        sequence=engine.sequence,
        input_partition=engine.input_partition,
        input_offset=engine.input_offset,
        output_offset=output_offset,
        last_hash=engine.last_hash,
        state=state,
        checksum=record_hash(state.encode()),
    )


def restore(engine: SymbolEngine, taken: BookSnapshot) -> None:
    """Put a snapshot into a fresh engine. Raises UnusableState when anything in it disagrees."""
    if taken.engine_version != ENGINE_VERSION or taken.symbol != engine.symbol:
        raise UnusableState(f"{taken.symbol} of engine {taken.engine_version}")
    if record_hash(taken.state.encode()) != taken.checksum:
        raise UnusableState("the checksum is wrong")
    engine.restore(taken.state)
    inside = (engine.sequence, engine.input_partition, engine.input_offset, engine.last_hash)
    if inside != (taken.sequence, taken.input_partition, taken.input_offset, taken.last_hash):
        raise UnusableState("envelope and state disagree")
