"""Rows of typed columns from the messages of a topic; pure.

The columns follow from the structs in `schemas`, and the unit of a number from its field's name.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any, Union, get_args, get_origin

import msgspec

from schemas import commands, events
from schemas.envelope import Message
from schemas.instruments import Asset, Instrument, Instruments
from schemas.orders import Side
from service_runtime.event_log import Record

MAX_INT64 = 2**63 - 1
_BASE = {"base_minor", "buyer_fee_minor"}
_QUOTE = {
    "quote_minor",
    "quote_budget_minor",
    "quote_quantity_minor",
    "executed_quote_minor",
    "taker_buy_quote_minor",
    "buyer_lock_minor",
    "seller_fee_minor",
}
_LOCKED = {"reserved_minor", "released_minor", "carried_minor"}
"""Quote of a BUY, base of a SELL."""
_LOCKED_BY_TAKER, _LOCKED_BY_MAKER = "taker_released_minor", "maker_released_minor"
_SUMMED = (events.TradeBar, events.Candle, events.Ticker)
_UNITS = ("_ticks", "_lots", "_minor")


class UnreadableRecord(ValueError):
    """A record that cannot become a row."""


class Kind(StrEnum):
    INTEGER = "integer"
    WIDE = "wide"
    """An integer that may pass 63 bits."""
    DECIMAL = "decimal"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIME_MS = "time_ms"
    TIME_NS = "time_ns"
    JSON = "json"


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind


META = (
    Column("partition", Kind.INTEGER),
    Column("offset", Kind.INTEGER),
    Column("timestamp_ms", Kind.TIME_MS),
    Column("type", Kind.TEXT),
)


@dataclass(frozen=True)
class Row:
    """The values of one record: `values[i]` belongs to column `places[i]` of the topic."""

    places: Sequence[int]
    values: list[Any]


@dataclass(frozen=True)
class _Fields:
    """How the rows of one message type are made; numbers are places in the row's values."""

    tag: str
    values: Callable[[Message], tuple[Any, ...]]
    places: list[int]
    bounded: list[tuple[int, str]]
    numbers: list[tuple[int, str]]
    nested: list[int]
    words: list[int]


class Shape:
    """The columns of one topic, and the row of each of its records."""

    def __init__(
        self, message_types: Sequence[type[Message]], instruments: Instruments, *, decimals: bool
    ) -> None:
        self.columns: tuple[Column, ...] = META
        self._instruments = instruments
        self._decimals = decimals
        self._fields: dict[type[Message], _Fields] = {}
        for message_type in message_types:
            self._add(message_type)

    def row(self, record: Record, message: Message) -> Row:
        """Return the row. Raises UnreadableRecord for a value that no column can hold."""
        fields = self._fields[type(message)]
        instrument = self._instrument(message)
        values: list[Any] = [record.partition, record.offset, record.timestamp_ms, fields.tag]
        values.extend(fields.values(message))
        for place, name in fields.bounded:
            value = values[place]
            if value is not None and not -MAX_INT64 <= value <= MAX_INT64:
                raise UnreadableRecord(f"{name} does not fit 63 bits")
        for place in fields.words:
            if values[place] is not None:
                values[place] = str(values[place])
        for place in fields.nested:
            inside = values[place]
            if isinstance(inside, Message):
                values[place] = self._nested(inside, instrument)
            else:
                values[place] = [self._nested(item, instrument) for item in inside]
        for place, name in fields.numbers:
            if values[place] is not None:
                values[place] = self._text(message, name, values[place], instrument)
        return Row(fields.places, values)

    def _add(self, message_type: type[Message]) -> None:
        known = {column.name: place for place, column in enumerate(self.columns)}
        names = [field.name for field in msgspec.structs.fields(message_type)]
        columns = [
            _column(message_type, field.name, field.type, decimals=self._decimals)
            for field in msgspec.structs.fields(message_type)
        ]
        for column in columns:
            if column.name not in known:
                known[column.name] = len(self.columns)
                self.columns = (*self.columns, column)
        self._fields[message_type] = _fields(message_type, names, columns, known)

    def _instrument(self, message: Message) -> Instrument | None:
        symbol = getattr(message, "symbol", None)
        if symbol is None or not self._decimals:
            return None
        instrument = self._instruments.get(symbol)
        if instrument is None:
            raise UnreadableRecord(f"instruments.yaml has no symbol {symbol}")
        return instrument

    def _nested(self, message: Message, instrument: Instrument | None) -> dict[str, Any]:
        """Return an event inside a record as plain values; what is unset is absent, as on the wire."""
        plain: dict[str, Any] = msgspec.to_builtins(message)
        if instrument is None:
            return plain
        return {
            decimal_name(name): self._text(message, name, value, instrument) if is_number(name) else value
            for name, value in plain.items()
        }

    def _text(self, message: Message, name: str, value: int, instrument: Instrument | None) -> str:
        if instrument is not None and name.endswith("_ticks"):
            return instrument.price_text(value)
        if instrument is not None and name.endswith("_lots"):
            return instrument.quantity_text(value)
        return asset_of(message, name, instrument, self._instruments).text(value)


def asset_of(message: Any, name: str, instrument: Instrument | None, instruments: Instruments) -> Asset:
    """Return the asset whose minor units `message.name` counts. Raises UnreadableRecord."""
    if name == "amount_minor":
        asset = instruments.assets.get(message.asset)
        if asset is None:
            raise UnreadableRecord(f"instruments.yaml has no asset {message.asset}")
        return asset
    if instrument is None:
        raise UnreadableRecord(f"{name} needs a symbol")
    if name in _BASE:
        return instrument.base
    if name in _QUOTE:
        return instrument.quote
    if name in _LOCKED:
        return instrument.quote if _side(message) is Side.BUY else instrument.base
    if name in ("taker_fee_minor", _LOCKED_BY_MAKER):  # a fee is in the asset received
        return instrument.base if message.taker_side is Side.BUY else instrument.quote
    if name in ("maker_fee_minor", _LOCKED_BY_TAKER):
        return instrument.quote if message.taker_side is Side.BUY else instrument.base
    raise UnreadableRecord(f"{name}: no rule says which asset this is")


def _side(message: Any) -> Side | None:
    """Return the side of an order, of the new one of a replace, of the first leg of a list."""
    if isinstance(message, commands.ReplaceRestingOrder):
        return message.order.side
    if isinstance(message, commands.EnterOrderList):
        return message.legs[0].side
    found: Side | None = getattr(message, "side", None)
    return found


def is_number(name: str) -> bool:
    """True for a price, quantity or amount."""
    return name.endswith(_UNITS)


def decimal_name(name: str) -> str:
    """Return the name of a field once its unit is gone: `price_ticks` becomes `price`."""
    return name.rsplit("_", 1)[0] if is_number(name) else name


def message_types(names: Sequence[str]) -> list[type[Message]]:
    """Return the structs with these tags, as topics.yaml lists them (`TradeExecuted.v1`)."""
    return [MESSAGES[name] for name in names]


def tag_of(message_type: type[Message]) -> str:
    return str(message_type.__struct_config__.tag)


def _fields(
    message_type: type[Message], names: list[str], columns: list[Column], known: dict[str, int]
) -> _Fields:
    first = len(META)
    placed = list(enumerate(zip(names, columns, strict=True), start=first))

    def of(*kinds: Kind) -> list[tuple[int, str]]:
        return [(place, name) for place, (name, column) in placed if column.kind in kinds]

    return _Fields(
        tag=tag_of(message_type),
        values=attrgetter(*names),
        places=[*range(first), *(known[column.name] for column in columns)],
        bounded=of(Kind.INTEGER, Kind.TIME_MS, Kind.TIME_NS),
        numbers=of(Kind.DECIMAL),
        nested=[place for place, _ in of(Kind.JSON)],
        words=[
            place
            for (place, _), field in zip(placed, msgspec.structs.fields(message_type), strict=True)
            if isinstance(_without_none(field.type), type) and issubclass(_without_none(field.type), StrEnum)
        ],
    )


def _column(message_type: type[Message], name: str, hint: Any, *, decimals: bool) -> Column:
    plain = _without_none(hint)
    if get_origin(plain) is tuple or (isinstance(plain, type) and issubclass(plain, Message)):
        return Column(name, Kind.JSON)
    if decimals and is_number(name):
        return Column(decimal_name(name), Kind.DECIMAL)
    if plain is bool:
        return Column(name, Kind.BOOLEAN)
    if plain is int:
        return Column(name, _integer_kind(message_type, name))
    return Column(name, Kind.TEXT)


def _integer_kind(message_type: type[Message], name: str) -> Kind:
    if name.endswith("_at_ns"):
        return Kind.TIME_NS
    if name.endswith(("_at_ms", "_time_ms")):
        return Kind.TIME_MS
    return Kind.WIDE if message_type in _SUMMED and name in _QUOTE else Kind.INTEGER


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        return next(member for member in get_args(hint) if member is not type(None))
    return hint


MESSAGES: dict[str, type[Message]] = {
    tag_of(value): value
    for module in (commands, events)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Message) and value.__struct_config__.tag
}
"""Every message of `schemas`, by its tag."""
