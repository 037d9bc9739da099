"""The hot book in Redis: keys and values. Never truth: any key may vanish at any moment.

Per symbol (one hash slot by `{symbol}`):

    hot:{S}:stamp          hash: partition, offset, sequence, hash, update_id, trade_id, last_price_ticks,
                           state (MarketState), until_ns
    hot:{S}:building       string: who writes the whole book in parts; there is no stamp meanwhile
    hot:{S}:passed         hash: source partition -> last source offset the matcher has handled
    hot:{S}:orders         hash: order id -> OpenOrder as JSON
    hot:{S}:account:<id>   set: order ids open for the account
    hot:{S}:seen           hash: account id -> "<sequence>:<trade id>" of the last record that touched it
    hot:{S}:bids / asks    sorted set: member and score are the price in ticks
    hot:{S}:bid_lots / ask_lots   hash: price in ticks -> lots
    hot:{S}:snapshot/<n>   string: the records of the matcher's last snapshots, named as in `book-snapshots`

Levels count the lots that are shown. Orders are all open ones, those that wait outside the book too.

No stamp means: there is no hot book for the symbol; take the slower way.
"""

from __future__ import annotations

import msgspec

from schemas.events import HeldUntil
from schemas.orders import OrderType, SelfTradePrevention, Side, TimeInForce


class OpenOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """An order as open-order queries show it."""

    order_id: int
    account_id: int
    client_order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int
    leaves_lots: int
    executed_quote_minor: int
    entered_at_ns: int
    updated_at_ns: int
    pending: bool = False
    """Accepted by the processor, not yet seen by the matcher."""
    stop_price_ticks: int | None = None
    trailing_delta_bips: int | None = None
    display_lots: int | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.NONE
    prevented_lots: int = 0
    list_id: int | None = None
    held_until: HeldUntil | None = None
    """What it waits for; None: it is in the book."""
    working_at_ns: int | None = None
    """Since when it may trade: known of those that may have waited, a stop or a leg."""
    strategy_id: int | None = None
    strategy_type: int | None = None


def key(symbol: str, part: str) -> str:
    """Return `hot:{symbol}:part`; parts are listed in the module's docstring."""
    return f"hot:{{{symbol}}}:{part}"


def account_key(symbol: str, account_id: int) -> str:
    return f"hot:{{{symbol}}}:account:{account_id}"
