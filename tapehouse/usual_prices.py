"""Where a symbol trades in the demo and the benchmark as long as nobody has traded it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

USUAL_PRICES: Final[Mapping[str, str]] = {
    "BTCUSDT": "39400.00",
    "ETHUSDT": "1200.00",
    "ETHBTC": "0.03000",
    "SOLUSDT": "150.00",
}
