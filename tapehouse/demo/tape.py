"""A recorded tape of trades, and the pairs of orders that make the same trades again; pure."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.instruments import Instrument
from schemas.money import InvalidDecimal, parse_decimal
from schemas.orders import Side
from tapehouse.errors import USAGE, OperatorError

COLUMNS = ("trade_id", "time_ms", "price", "quantity", "buyer_is_maker")


@dataclass(frozen=True)
class TapeTrade:
    time_ms: int
    price_ticks: int
    quantity_lots: int
    buyer_is_maker: bool

    @property
    def maker_side(self) -> Side:
        return Side.BUY if self.buyer_is_maker else Side.SELL

    @property
    def taker_side(self) -> Side:
        return Side.SELL if self.buyer_is_maker else Side.BUY


@dataclass(frozen=True)
class Figures:
    """What a tape comes to; exact."""

    trades: int
    volume_lots: int
    quote_minor: int
    open_ticks: int
    high_ticks: int
    low_ticks: int
    close_ticks: int


class InvalidTape(OperatorError):
    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=USAGE)


def read_tape(path: Path, instrument: Instrument) -> list[TapeTrade]:
    """Return the trades of a CSV file with the columns of `COLUMNS`. Raises InvalidTape."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return list(parse_tape(stream, path.name, instrument))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidTape(f"{path} cannot be read: {error}") from error


def parse_tape(lines: Iterable[str], name: str, instrument: Instrument) -> Iterator[TapeTrade]:
    rows = csv.DictReader(lines)
    missing = set(COLUMNS) - set(rows.fieldnames or ())
    if missing:
        raise InvalidTape(f"{name} has no column {', '.join(sorted(missing))}")
    for number, row in enumerate(rows, start=2):
        try:
            trade = TapeTrade(
                int(row["time_ms"]),
                _steps(row["price"], instrument.tick_e8),
                _steps(row["quantity"], instrument.lot_e8),
                {"true": True, "false": False}[row["buyer_is_maker"].lower()],
            )
        except (InvalidDecimal, ValueError, KeyError, AttributeError, TypeError) as error:
            raise InvalidTape(f"{name} line {number} is no trade of {instrument.symbol}: {error}") from error
        yield trade


def may_overlap(before: TapeTrade, after: TapeTrade) -> bool:
    """True when the maker of `after` may be on its way while the taker of `before` still is.

    It may when it rests on the same side and is not better: whichever comes first, the taker meets the
    older order.
    """
    if before.buyer_is_maker != after.buyer_is_maker:
        return False
    if after.buyer_is_maker:
        return after.price_ticks <= before.price_ticks
    return after.price_ticks >= before.price_ticks


def figures(trades: Sequence[TapeTrade], instrument: Instrument) -> Figures:
    """Return count, volume, quote volume and open/high/low/close. `trades` is not empty."""
    prices = [trade.price_ticks for trade in trades]
    return Figures(
        trades=len(trades),
        volume_lots=sum(trade.quantity_lots for trade in trades),
        quote_minor=sum(instrument.notional_minor(t.price_ticks, t.quantity_lots) for t in trades),
        open_ticks=prices[0],
        high_ticks=max(prices),
        low_ticks=min(prices),
        close_ticks=prices[-1],
    )


def funds_for(trades: Sequence[TapeTrade], instrument: Instrument) -> dict[str, str]:
    """Return what an account needs to be on either side of every trade, fees too."""
    found = figures(trades, instrument)
    base = instrument.quantity_text(2 * found.volume_lots + instrument.min_quantity_lots)
    return {
        instrument.base.name: base,
        instrument.quote.name: instrument.quote_text(2 * found.quote_minor + 10**instrument.quote.scale),
    }


def _steps(text: str, step_e8: int) -> int:
    amount = parse_decimal(text, 8)
    if amount <= 0 or amount % step_e8:
        raise ValueError(f"{text} is no positive multiple of the step")
    return amount // step_e8
