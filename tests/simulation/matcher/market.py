"""The small instruments that model, scenarios and streams trade."""

from __future__ import annotations

from typing import Any

from schemas.instruments import Instrument, parse_instruments
from schemas.orders import SelfTradePrevention

T0 = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
_ASSET = {"scale": 8}


def instrument(
    lot_minor: int = 1,
    tick_lot_minor: int = 1,
    *,
    volatility: dict[str, Any] | None = None,
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.NONE,
    band: tuple[str, str, str, str] = ("5", "0.2", "5", "0.2"),
) -> Instrument:
    """Return the symbol XY: a lot is `lot_minor` of X, a tick x lot is `tick_lot_minor` of Y.

    `band` are the multipliers bid up, bid down, ask up, ask down; `volatility` as in instruments.yaml.
    """
    lot = f"0.{lot_minor:08}"
    # tick (in 10**-8) x lot (in 10**-8) is tick_lot_minor x 10**8; whole for any lot that divides 10**8
    tick_e8, rest = divmod(tick_lot_minor * 10**8, lot_minor)
    assert rest == 0, "choose a lot that divides 10**8 x tick_lot_minor"
    row = {
        "base": "X",
        "quote": "Y",
        "tick": f"{tick_e8 // 10**8}.{tick_e8 % 10**8:08}",
        "lot": lot,
        "min_price": "0",
        "max_price": "0",
        "min_quantity": "0",
        "max_quantity": "0",
        "max_market_quantity": "0",
        "min_notional": "0",
        "max_notional": "1",
        "price_band": dict(zip(("bid_up", "bid_down", "ask_up", "ask_down"), band, strict=True)),
        "market_collar_ppm": 50_000,
        "max_open_orders": 1000,
        "self_trade_prevention": self_trade_prevention.value,
        "volatility": volatility,
    }
    return parse_instruments(
        {
            "assets": {"X": _ASSET, "Y": _ASSET},
            "symbols": {"XY": row},
            "fees": {"maker_ppm": 0, "taker_ppm": 0},
        }
    )["XY"]
