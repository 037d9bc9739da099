"""What a market request asks for: the parameters that are about symbols, candles and times."""

from __future__ import annotations

import re

from market_data.intervals import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS, Interval
from market_data.symbol_view import MarketView, SymbolView
from schemas import public_errors as errors
from schemas.public_parameters import SYMBOL_RANGE, Parameters

_SYMBOL = re.compile(r"[A-Z0-9\-_.]{1,20}", re.ASCII)
_STATUSES = ("TRADING", "HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY")
_TIME_ZONE = re.compile(r"([+-]?)(\d{1,2})(?::(\d{2}))?", re.ASCII)
_WINDOW = re.compile(r"(\d{1,2})([mhd])", re.ASCII)
_WINDOW_UNITS = {"m": (MINUTE_MS, 59), "h": (HOUR_MS, 23), "d": (DAY_MS, 7)}
_TIME_ZONE_RANGE = "-12:00 to +14:00"
_MOST_EAST_MINUTES, _MOST_WEST_MINUTES = 14 * 60, -12 * 60
MAX_TIME_MS = 253_402_300_799_999
"""The end of the year 9999."""


class Query(Parameters):
    __slots__ = ()

    def view(self, market: MarketView) -> SymbolView:
        """Return the mandatory `symbol`'s view."""
        return _find(market, self.symbol())

    def views(self, market: MarketView) -> tuple[list[SymbolView], bool]:
        """Return what `symbol` or `symbols` ask for, or everything; and whether the answer is a list."""
        symbol, symbols = self.text("symbol"), self.symbols()
        if symbol is not None and symbols is not None:
            raise errors.INVALID_COMBINATION()
        if symbol is not None:
            if _SYMBOL.fullmatch(symbol) is None:
                raise errors.ILLEGAL_CHARACTERS("symbol", SYMBOL_RANGE)
            return [_find(market, symbol)], False
        return list(market) if symbols is None else [_find(market, name) for name in symbols], True

    def status_matches(self, *, listed: bool) -> bool:
        """Return whether symbols (all of them TRADING) have the asked status; a single one must."""
        status = self.choice("symbolStatus", _STATUSES, errors.INVALID_SYMBOL_STATUS)
        if status in (None, "TRADING"):
            return True
        if not listed:
            raise errors.SYMBOL_STATUS_MISMATCH()
        return False

    def interval(self) -> Interval:
        interval = INTERVALS.get(self.required("interval"))
        if interval is None:
            raise errors.INVALID_INTERVAL()
        return interval

    def time_range(self) -> tuple[int | None, int | None]:
        """Return `startTime` and `endTime`, both inclusive."""
        start, end = self._time("startTime"), self._time("endTime")
        if start is not None and end is not None and start > end:
            raise errors.INVALID_COMBINATION()
        return start, end

    def _time(self, name: str) -> int | None:
        time_ms = self.integer(name)
        if time_ms is not None and time_ms > MAX_TIME_MS:
            raise errors.INVALID_DATA(name)
        return time_ms

    def window_ms(self) -> int:
        """Return `windowSize` in ms, a day if it is not said: 1m to 59m, 1h to 23h, 1d to 7d."""
        text = self.text("windowSize")
        if text is None:
            return DAY_MS
        match = _WINDOW.fullmatch(text)
        if match is None:
            raise errors.INVALID_DATA("windowSize")
        width_ms, most = _WINDOW_UNITS[match.group(2)]
        count = int(match.group(1))
        if not 1 <= count <= most:
            raise errors.INVALID_DATA("windowSize")
        return count * width_ms

    def zone_minutes(self) -> int:
        """Return how many minutes east of UTC `timeZone` is; 0 if it is not said."""
        value = self.text("timeZone")
        if value is None:
            return 0
        match = _TIME_ZONE.fullmatch(value.strip())
        if match is None:
            raise errors.ILLEGAL_CHARACTERS("timeZone", _TIME_ZONE_RANGE)
        minutes = int(match.group(2)) * 60 + int(match.group(3) or 0)
        minutes = -minutes if match.group(1) == "-" else minutes
        if not _MOST_WEST_MINUTES <= minutes <= _MOST_EAST_MINUTES:
            raise errors.INVALID_DATA("timeZone")
        return minutes


def _find(market: MarketView, symbol: str) -> SymbolView:
    view = market.symbols.get(symbol)
    if view is None:
        raise errors.INVALID_SYMBOL()
    return view
