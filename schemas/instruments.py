"""Assets and symbols, read from `instruments.yaml` and checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from schemas.money import MAX_AMOUNT, PPM, format_decimal, parse_decimal
from schemas.orders import SelfTradePrevention, Side

DEFAULT_PATH = Path(__file__).resolve().parent.parent / "instruments.yaml"
PUBLIC_PLACES = 8
_NAME_LIMIT = 20


class InvalidInstruments(ValueError):
    """`instruments.yaml` says something that cannot be."""


@dataclass(frozen=True, slots=True)
class Asset:
    name: str
    scale: int
    max_order_minor: int | None = None
    """MAX_ASSET: the most of it that one order may move."""

    def parse(self, text: str) -> int:
        """Return minor units. Raises schemas.money.InvalidDecimal."""
        return parse_decimal(text, self.scale)

    def text(self, amount_minor: int) -> str:
        """Return the public text: 8 decimals."""
        return format_decimal(amount_minor, self.scale, PUBLIC_PLACES)


@dataclass(frozen=True)
class PriceBand:
    """PERCENT_PRICE_BY_SIDE, each multiplier in parts per million of the reference price."""

    bid_up_ppm: int
    bid_down_ppm: int
    ask_up_ppm: int
    ask_down_ppm: int


@dataclass(frozen=True)
class Volatility:
    """A trade further than `band_ppm` from the reference halts the symbol for `halt_ns`, then it is
    auctioned for `auction_ns`. The reference is the last price, taken anew every `window_ns`."""

    band_ppm: int
    window_ns: int
    halt_ns: int
    auction_ns: int


@dataclass(frozen=True)
class Instrument:
    """One symbol. Steps and limits are integers: steps in 10**-8, prices in ticks, quantities in lots."""

    symbol: str
    base: Asset
    quote: Asset
    tick_e8: int
    lot_e8: int
    lot_minor: int
    """Base minor units in one lot."""
    tick_lot_minor: int
    """Quote minor units in one tick x one lot: notional = ticks * lots * this."""
    min_price_ticks: int
    max_price_ticks: int
    min_quantity_lots: int
    max_quantity_lots: int
    max_market_quantity_lots: int
    min_notional_minor: int
    max_notional_minor: int
    price_band: PriceBand
    market_collar_ppm: int
    max_open_orders: int
    max_algo_orders: int
    """Open stop and take-profit orders of an account."""
    max_iceberg_orders: int
    max_order_lists: int
    max_order_amends: int
    """Of one order."""
    max_iceberg_parts: int
    min_trailing_delta_bips: int
    max_trailing_delta_bips: int
    self_trade_prevention: SelfTradePrevention
    """Of orders that name no mode."""
    volatility: Volatility | None
    max_position_lots: int | None = None
    """MAX_POSITION: what an account may have of the base asset, open BUY orders included."""

    def within_band(self, price_ticks: int, side: Side, last_price_ticks: int | None) -> bool:
        """PERCENT_PRICE_BY_SIDE against the last trade; no trade yet: pass."""
        if last_price_ticks is None:
            return True
        band = self.price_band
        up, down = (
            (band.bid_up_ppm, band.bid_down_ppm) if side is Side.BUY else (band.ask_up_ppm, band.ask_down_ppm)
        )
        return last_price_ticks * down <= price_ticks * PPM <= last_price_ticks * up

    def notional_minor(self, price_ticks: int, quantity_lots: int) -> int:
        return price_ticks * quantity_lots * self.tick_lot_minor

    def price_text(self, price_ticks: int) -> str:
        return format_decimal(price_ticks * self.tick_e8, PUBLIC_PLACES)

    def quantity_text(self, quantity_lots: int) -> str:
        return format_decimal(quantity_lots * self.lot_e8, PUBLIC_PLACES)

    def quote_text(self, amount_minor: int) -> str:
        return self.quote.text(amount_minor)


@dataclass(frozen=True)
class ExchangeLimits:
    """What an account may have open over all symbols; None: as much as its symbols allow."""

    max_open_orders: int | None = None
    max_algo_orders: int | None = None
    max_iceberg_orders: int | None = None
    max_order_lists: int | None = None


@dataclass(frozen=True)
class Instruments:
    """Every asset and symbol; unknown names raise KeyError."""

    assets: dict[str, Asset]
    symbols: dict[str, Instrument]
    maker_fee_ppm: int
    taker_fee_ppm: int
    exchange: ExchangeLimits = ExchangeLimits()

    def __getitem__(self, symbol: str) -> Instrument:
        return self.symbols[symbol]

    def get(self, symbol: str) -> Instrument | None:
        return self.symbols.get(symbol)


def _asset(name: str, row: dict[str, Any]) -> Asset:
    asset = Asset(name, int(row["scale"]))
    return replace(asset, max_order_minor=asset.parse(row["max_order"])) if "max_order" in row else asset


def _power(exponent: int) -> int:
    return int(10**exponent)


def _ppm(text: str) -> int:
    return parse_decimal(text, 6)


def _volatility(symbol: str, row: dict[str, Any] | None) -> Volatility | None:
    if row is None:
        return None
    keys = ("window_s", "halt_s", "auction_s")
    chosen = Volatility(_ppm(row["band"]), *(int(row[key]) * 1_000_000_000 for key in keys))
    if not 0 < chosen.band_ppm < PPM or min(chosen.window_ns, chosen.halt_ns, chosen.auction_ns) <= 0:
        raise InvalidInstruments(f"{symbol}: volatility needs a band between 0 and 1 and positive seconds")
    return chosen


def _instrument(symbol: str, row: dict[str, Any], assets: dict[str, Asset]) -> Instrument:
    base, quote = assets[row["base"]], assets[row["quote"]]
    tick, lot = parse_decimal(row["tick"], PUBLIC_PLACES), parse_decimal(row["lot"], PUBLIC_PLACES)
    if tick <= 0 or lot <= 0:
        raise InvalidInstruments(f"{symbol}: tick and lot must be positive")
    if lot % _power(PUBLIC_PLACES - base.scale):
        raise InvalidInstruments(f"{symbol}: a lot is no whole number of minor units of {base.name}")
    if tick * lot % _power(2 * PUBLIC_PLACES - quote.scale):
        raise InvalidInstruments(f"{symbol}: tick x lot is no whole number of minor units of {quote.name}")

    def steps(key: str, step: int) -> int:
        amount = parse_decimal(row[key], PUBLIC_PLACES)
        if amount % step:
            raise InvalidInstruments(f"{symbol}: {key} is no multiple of its step")
        return amount // step

    band = row["price_band"]
    instrument = Instrument(
        symbol=symbol,
        base=base,
        quote=quote,
        tick_e8=tick,
        lot_e8=lot,
        lot_minor=lot // _power(PUBLIC_PLACES - base.scale),
        tick_lot_minor=tick * lot // _power(2 * PUBLIC_PLACES - quote.scale),
        min_price_ticks=steps("min_price", tick),
        max_price_ticks=steps("max_price", tick),
        min_quantity_lots=steps("min_quantity", lot),
        max_quantity_lots=steps("max_quantity", lot),
        max_market_quantity_lots=steps("max_market_quantity", lot),
        min_notional_minor=quote.parse(row["min_notional"]),
        max_notional_minor=quote.parse(row["max_notional"]),
        price_band=PriceBand(*(_ppm(band[k]) for k in ("bid_up", "bid_down", "ask_up", "ask_down"))),
        market_collar_ppm=int(row["market_collar_ppm"]),
        max_open_orders=int(row["max_open_orders"]),
        max_algo_orders=int(row.get("max_algo_orders", 100)),
        max_iceberg_orders=int(row.get("max_iceberg_orders", 100)),
        max_order_lists=int(row.get("max_order_lists", 20)),
        max_order_amends=int(row.get("max_order_amends", 10)),
        max_iceberg_parts=int(row.get("max_iceberg_parts", 100)),
        min_trailing_delta_bips=int(row.get("min_trailing_delta_bips", 10)),
        max_trailing_delta_bips=int(row.get("max_trailing_delta_bips", 2_000)),
        self_trade_prevention=SelfTradePrevention(row.get("self_trade_prevention", "NONE")),
        volatility=_volatility(symbol, row.get("volatility")),
        max_position_lots=steps("max_position", lot) if "max_position" in row else None,
    )
    if instrument.max_notional_minor > MAX_AMOUNT or not 0 < instrument.market_collar_ppm < PPM:
        raise InvalidInstruments(f"{symbol}: max_notional or market_collar_ppm is out of range")
    return instrument


def parse_instruments(document: dict[str, Any]) -> Instruments:
    """Return the typed view of a parsed `instruments.yaml`. Raises InvalidInstruments or KeyError."""
    assets = {name: _asset(name, row) for name, row in document["assets"].items()}
    for asset in assets.values():
        if not 0 <= asset.scale <= PUBLIC_PLACES or len(asset.name) > _NAME_LIMIT:
            raise InvalidInstruments(f"asset {asset.name}: scale must be 0 to 8")
    symbols = {name: _instrument(name, row, assets) for name, row in document["symbols"].items()}
    fees = document["fees"]
    limits = ExchangeLimits(**{name: int(most) for name, most in document.get("exchange", {}).items()})
    return Instruments(assets, symbols, int(fees["maker_ppm"]), int(fees["taker_ppm"]), limits)


@lru_cache(maxsize=8)
def load_instruments(path: Path = DEFAULT_PATH) -> Instruments:
    """Read and check the file; the result is cached per path."""
    return parse_instruments(yaml.safe_load(path.read_text(encoding="utf-8")))
