"""Words that commands and events share."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIMIT_MAKER = "LIMIT_MAKER"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"


STOP_TYPES = (
    OrderType.STOP_LOSS,
    OrderType.STOP_LOSS_LIMIT,
    OrderType.TAKE_PROFIT,
    OrderType.TAKE_PROFIT_LIMIT,
)
"""They wait for a price before they enter."""
MARKET_TYPES = (OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT)
"""They have no limit price. Tuples, because an enumeration's hash is slower than a few comparisons."""


class TimeInForce(StrEnum):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class SelfTradePrevention(StrEnum):
    """What happens instead of a trade of an account with itself. The taker's mode rules."""

    NONE = "NONE"
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"
    DECREMENT = "DECREMENT"


class MarketState(StrEnum):
    """What a symbol lets happen. docs/matching.md says which command each state accepts."""

    TRADING = "TRADING"
    AUCTION = "AUCTION"
    """A call auction: orders collect, nothing trades until it is uncrossed."""
    CANCEL_ONLY = "CANCEL_ONLY"
    HALT = "HALT"
    BREAK = "BREAK"
    """Nothing is accepted, not even a cancel."""


class OrderListKind(StrEnum):
    OCO = "OCO"
    """One cancels the other: legs above, below."""
    OTO = "OTO"
    """One triggers the other: legs working, pending."""
    OTOCO = "OTOCO"
    """One triggers an OCO: legs working, pending above, pending below."""
    OPO = "OPO"
    """One pays the other: an OTO whose pending sell has what the working buy received."""
    OPOCO = "OPOCO"
    """One pays an OCO."""


class CancelRestriction(StrEnum):
    ONLY_NEW = "ONLY_NEW"
    ONLY_PARTIALLY_FILLED = "ONLY_PARTIALLY_FILLED"


class ReplaceMode(StrEnum):
    STOP_ON_FAILURE = "STOP_ON_FAILURE"
    """No new order when the cancel fails."""
    ALLOW_FAILURE = "ALLOW_FAILURE"


class OrderStatus(StrEnum):
    """Life of an order as the database and the clients see it."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"
    """Ended by self-trade prevention."""
    PENDING_NEW = "PENDING_NEW"
    """A leg that waits for the working order of its list."""
    REJECTED = "REJECTED"
    """Accepted and reserved, then refused by the matcher (a LIMIT_MAKER that would take)."""
